#include "model/block.h"

#include <math.h>
#include <string.h>

#include "base/profile.h"
#include "kern/op_attention.h"
#include "kern/op_linear.h"
#include "kern/op_rms_norm.h"
#include "kern/op_rope.h"
#include "kern/op_swiglu.h"
#include "model/linear.h"

static const float *gain(const struct param *p)
{
    return p->data;
}

static float *gain_gradient(const struct model *m, const struct param *p)
{
    return p->trainable ? m->gradient + p->offset : NULL;
}

static int64_t width(struct range r)
{
    return r.end - r.first;
}

static struct attention_shape attention_of(const struct tape *t, const struct batch *b)
{
    const struct model *m = t->m;
    const struct shard *s = &m->shard;
    return (struct attention_shape){
        .T = b->T,
        .documents = b->documents,
        .start = b->start,
        .H = (int)width(s->heads),
        .K = (int)width(s->kv_heads),
        .D = m->config.head_dim,
        .kv_of = s->kv_of,
        .ldq = width(s->q),
        .ldk = width(s->kv),
        .ldv = width(s->kv),
        .ldo = width(s->q),
        .ldl = t->T,
        .scale = 1 / sqrtf((float)m->config.head_dim),
        .scratch = t->attention,
        .scratch_size = t->attention_size,
    };
}

/* n = norm(x) of a whole row of the residual stream. */
static void norm_input(struct tape *t, const struct batch *b, const struct param *p, float *r, const float *x)
{
    int64_t d = t->m->config.hidden_size;
    profile_op(OP_NORM);
    rms_norm_forward(r, t->n, d, x, d, gain(p), (float)t->m->config.rms_norm_eps, b->T, d);
}

/* q and k: the norm of each head where the family has one, then the rotation; q, k and v as attention takes them. */
static void heads_forward(struct tape *t, const struct batch *b, const struct layer *l, struct block_tape *k)
{
    const struct model *m = t->m;
    int64_t D = m->config.head_dim, H = width(m->shard.heads), K = width(m->shard.kv_heads);
    float eps = (float)m->config.rms_norm_eps;
    profile_op(OP_ROPE);
    if (l->q_norm) {
        rms_norm_forward(k->r_q, k->q, D, k->q_raw, D, gain(l->q_norm), eps, b->T * H, D);
        rms_norm_forward(k->r_k, k->k, D, k->k_raw, D, gain(l->k_norm), eps, b->T * K, D);
    }
    rope_apply(k->q, H * D, b->position, m->cos_table, m->sin_table, 1, b->T, H, D);
    rope_apply(k->k, K * D, b->position, m->cos_table, m->sin_table, 1, b->T, K, D);
    if (m->options.precision == PRECISION_F32)
        return;
    /* operands of attention's products: forward and backward see the same, saved in between or not */
    vector_round(k->q, b->T * H * D);
    vector_round(k->k, b->T * K * D);
    vector_round(k->v, b->T * K * D);
}

static struct linear_row attention_output(const struct tape *t, int layer)
{
    const struct block_tape *k = &t->blocks[layer];
    return (struct linear_row){.l = &t->m->layers[layer].o,
                               .layer = layer,
                               .slot = LIN_O,
                               .x = k->attn,
                               .inner = k->inner[LIN_O],
                               .from = k->x_in,
                               .to = k->x_mid};
}

static void attention_start(struct tape *t, const struct batch *b, int layer, struct kv_cache *cache)
{
    const struct layer *l = &t->m->layers[layer];
    struct block_tape *k = &t->blocks[layer];
    norm_input(t, b, l->attn_norm, k->r_attn, k->x_in);
    const struct linear_use uses[] = {
        {&l->q, LIN_Q, k->q_raw, k->inner[LIN_Q]},
        {&l->k, LIN_K, k->k_raw, k->inner[LIN_K]},
        {&l->v, LIN_V, k->v, k->inner[LIN_V]},
    };
    linear_columns_forward(t, b, uses, 3, layer, t->n);
    heads_forward(t, b, l, k);
    profile_op(OP_ATTENTION);
    if (cache) {
        kv_cache_attention(cache, t, b, layer);
    } else {
        struct attention_shape shape = attention_of(t, b);
        attention_forward(k->attn, k->lse, k->q, k->k, k->v, &shape);
    }
    const struct linear_row o = attention_output(t, layer);
    linear_row_start(t, b, &o);
}

static void attention_finish(struct tape *t, const struct batch *b, int layer)
{
    const struct linear_row o = attention_output(t, layer);
    linear_row_finish(t, b, &o);
}

static void mlp_inputs(struct tape *t, const struct batch *b, int layer)
{
    const struct layer *l = &t->m->layers[layer];
    struct block_tape *k = &t->blocks[layer];
    norm_input(t, b, l->mlp_norm, k->r_mlp, k->x_mid);
    const struct linear_use uses[] = {
        {&l->gate, LIN_GATE, k->gate, k->inner[LIN_GATE]},
        {&l->up, LIN_UP, k->up, k->inner[LIN_UP]},
    };
    linear_columns_forward(t, b, uses, 2, layer, t->n);
}

static struct linear_row mlp_output(const struct tape *t, int layer)
{
    const struct block_tape *k = &t->blocks[layer];
    return (struct linear_row){.l = &t->m->layers[layer].down,
                               .layer = layer,
                               .slot = LIN_DOWN,
                               .x = t->h,
                               .inner = k->inner[LIN_DOWN],
                               .from = k->x_mid,
                               .to = tape_output(t, layer)};
}

static void mlp_inner(struct tape *t, const struct batch *b, int layer)
{
    const struct block_tape *k = &t->blocks[layer];
    int64_t F = width(t->m->shard.ffn);
    profile_op(OP_SWIGLU);
    swiglu_forward(t->h, F, k->gate, F, k->up, F, b->T, F);
}

static void mlp_start(struct tape *t, const struct batch *b, int layer)
{
    mlp_inputs(t, b, layer);
    mlp_inner(t, b, layer);
    const struct linear_row down = mlp_output(t, layer);
    linear_row_start(t, b, &down);
}

static void mlp_finish(struct tape *t, const struct batch *b, int layer)
{
    const struct linear_row down = mlp_output(t, layer);
    linear_row_finish(t, b, &down);
    if (layer >= t->m->config.layers - t->kept)
        tape_save(t, layer, b->T);
}

void block_start(struct tape *t, const struct batch *b, int part, struct kv_cache *cache)
{
    if (part % 2)
        mlp_start(t, b, part / 2);
    else
        attention_start(t, b, part / 2, cache);
}

void block_finish(struct tape *t, const struct batch *b, int part)
{
    if (part % 2)
        mlp_finish(t, b, part / 2);
    else
        attention_finish(t, b, part / 2);
}

/* down's inner values alone; the output, which is not needed, goes where nobody looks. */
static void restore_inner(struct tape *t, const struct batch *b, int layer)
{
    struct linear_row down = mlp_output(t, layer);
    down.to = t->rows;
    mlp_inner(t, b, layer);
    linear_row_start(t, b, &down);
    linear_row_finish(t, b, &down);
}

void block_restore(struct tape *t, const struct batch *b, int layer)
{
    attention_start(t, b, layer, NULL);
    attention_finish(t, b, layer);
    mlp_inputs(t, b, layer);
    if (t->m->layers[layer].down.lora)
        restore_inner(t, b, layer);
}

/* t->dx += dL/dx through a norm, where t->sum (row stride ld) holds dL/d(normed x). */
static void norm_backward(struct tape *t, const struct batch *b, const struct param *p, const float *r, const float *x,
                          int64_t ld)
{
    int64_t d = t->m->config.hidden_size;
    profile_op(OP_NORM);
    rms_norm_backward(t->dx, d, gain_gradient(t->m, p), t->sum, ld, x, d, gain(p), r, b->T, d);
}

static void mlp_backward(struct tape *t, const struct batch *b, int layer)
{
    const struct layer *l = &t->m->layers[layer];
    struct block_tape *k = &t->blocks[layer];
    int64_t F = width(t->m->shard.ffn), ld;
    profile_op(OP_SWIGLU);
    if (linear_reads_input(&l->down))
        mlp_inner(t, b, layer);
    linear_row_backward(t, b, &l->down, layer, LIN_DOWN, t->dh, t->dx, t->h, k->inner[LIN_DOWN]);
    profile_op(OP_SWIGLU);
    /* the gradients take the place of gate and up, which nothing needs any more */
    swiglu_backward(k->gate, F, k->up, F, t->dh, F, k->gate, F, k->up, F, b->T, F);
    if (linear_reads_input(&l->gate) || linear_reads_input(&l->up))
        norm_input(t, b, l->mlp_norm, k->r_mlp, k->x_mid);
    const struct linear_use uses[] = {
        {&l->gate, LIN_GATE, k->gate, k->inner[LIN_GATE]},
        {&l->up, LIN_UP, k->up, k->inner[LIN_UP]},
    };
    linear_columns_backward(t, b, uses, 2, layer, t->n, &ld);
    norm_backward(t, b, l->mlp_norm, k->r_mlp, k->x_mid, ld);
}

/* One of q, k: the gradient through each head's norm, in place (d is [T, heads, D]). scratch is q or k after the
 * rotation, which nothing needs any more. */
static void head_norm_backward(const struct tape *t, const struct param *p, float *d, const float *raw, const float *r,
                               float *scratch, int64_t rows)
{
    int64_t D = t->m->config.head_dim;
    memset(scratch, 0, (size_t)(rows * D) * sizeof *scratch);
    rms_norm_backward(scratch, D, gain_gradient(t->m, p), d, D, raw, D, gain(p), r, rows, D);
    memcpy(d, scratch, (size_t)(rows * D) * sizeof *scratch);
}

static void heads_backward(struct tape *t, const struct batch *b, const struct layer *l, struct block_tape *k)
{
    const struct model *m = t->m;
    int64_t D = m->config.head_dim, H = width(m->shard.heads), K = width(m->shard.kv_heads);
    profile_op(OP_ROPE);
    rope_apply(t->dq, H * D, b->position, m->cos_table, m->sin_table, -1, b->T, H, D);
    rope_apply(t->dk, K * D, b->position, m->cos_table, m->sin_table, -1, b->T, K, D);
    if (l->q_norm) {
        head_norm_backward(t, l->q_norm, t->dq, k->q_raw, k->r_q, k->q, b->T * H);
        head_norm_backward(t, l->k_norm, t->dk, k->k_raw, k->r_k, k->k, b->T * K);
    }
}

static void attention_part_backward(struct tape *t, const struct batch *b, int layer)
{
    const struct layer *l = &t->m->layers[layer];
    struct block_tape *k = &t->blocks[layer];
    struct attention_shape shape = attention_of(t, b);
    int64_t ld;
    linear_row_backward(t, b, &l->o, layer, LIN_O, t->dattn, t->dx, k->attn, k->inner[LIN_O]);
    profile_op(OP_ATTENTION);
    attention_backward(t->dq, t->dk, t->dv, t->delta, t->dattn, k->q, k->k, k->v, k->attn, k->lse, &shape);
    heads_backward(t, b, l, k);
    if (linear_reads_input(&l->q) || linear_reads_input(&l->k) || linear_reads_input(&l->v))
        norm_input(t, b, l->attn_norm, k->r_attn, k->x_in);
    const struct linear_use uses[] = {
        {&l->q, LIN_Q, t->dq, k->inner[LIN_Q]},
        {&l->k, LIN_K, t->dk, k->inner[LIN_K]},
        {&l->v, LIN_V, t->dv, k->inner[LIN_V]},
    };
    linear_columns_backward(t, b, uses, 3, layer, t->n, &ld);
    norm_backward(t, b, l->attn_norm, k->r_attn, k->x_in, ld);
}

void block_backward(struct tape *t, const struct batch *b, int layer)
{
    mlp_backward(t, b, layer);
    attention_part_backward(t, b, layer);
}
