/* The whole model: embedding, blocks, final norm, head; and the way back. */
#include <string.h>

#include "base/assert.h"
#include "base/integer.h"
#include "base/profile.h"
#include "kern/op_embedding.h"
#include "kern/op_linear.h"
#include "kern/op_rms_norm.h"
#include "model/block.h"
#include "model/halves.h"
#include "par/sum.h"

/* Part by part: while one half waits for its sum, the other one computes. */
static void run_blocks(struct half *halves, int count, struct kv_cache *cache)
{
    const int parts = 2 * halves[0].t->m->config.layers;
    for (int part = 0; part <= parts; part++)
        for (int i = 0; i < count; i++) {
            if (part > 0)
                block_finish(halves[i].t, &halves[i].b, part - 1);
            if (part < parts)
                block_start(halves[i].t, &halves[i].b, part, cache);
        }
}

void model_forward_cached(struct tape *t, const struct batch *b, struct kv_cache *cache)
{
    const struct model *m = t->m;
    ASSERT(b->T <= t->T);
    profile_op(OP_EMBEDDING);
    embedding_forward(t->blocks[0].x_in, b->ids, param_matrix(m->embed), m->shard.vocab.first, b->T);
    profile_op(OP_TP_SUM);
    sum_f32(&m->shards, t->blocks[0].x_in, b->T * m->config.hidden_size);
    struct half halves[2] = {{t, *b}};
    run_blocks(halves, cache ? 1 : halves_cut(halves, t, b), cache); /* a cache takes all rows at once */
}

void model_forward(const struct model *m, struct tape *t, const struct batch *b)
{
    ASSERT(t->m == m);
    model_forward_cached(t, b, NULL);
}

static void gather_rows(float *to, const float *from, const int32_t *rows, int64_t n, int64_t d)
{
    for (int64_t i = 0; i < n; i++)
        memcpy(to + i * d, from + rows[i] * d, (size_t)d * sizeof *to);
}

void model_final_norm(const struct model *m, struct tape *t, const int32_t *rows, int64_t n, float *h)
{
    int64_t d = m->config.hidden_size;
    profile_op(OP_NORM);
    gather_rows(t->rows, t->x, rows, n, d);
    rms_norm_forward(t->r_rows, h, d, t->rows, d, m->norm->data, (float)m->config.rms_norm_eps, n, d);
}

int64_t model_logit_rows(const struct model *m, int64_t n)
{
    enum { BYTES = 1 << 26, FEWEST = 16 };
    const int64_t row = (m->config.vocab_size / m->shard.count + 1) * (int64_t)sizeof(float);
    return max_i64(1, min_i64(n, max_i64(BYTES / row, FEWEST)));
}

void model_logits(const struct model *m, const float *h, int64_t n, float *logits)
{
    struct matrix w = param_matrix(m->head);
    profile_op(OP_HEAD);
    gemm_forward(m->options.precision, logits, w.rows, h, w.cols, w, n, false);
}

void model_logits_backward(const struct model *m, float *dh, const float *dlogits, const float *h, int64_t n)
{
    struct matrix w = param_matrix(m->head);
    profile_op(OP_HEAD);
    gemm_backward_input(m->options.precision, dh, w.cols, dlogits, w.rows, w, n, false);
    if (m->head->trainable)
        gemm_backward_weight(m->options.precision, m->gradient + m->head->offset, w.cols, dlogits, w.rows, h, w.cols,
                             w.rows, w.cols, n);
}

/* t->dx = the gradient of the residual stream after the last block: zero but at the label rows. */
static void final_norm_backward(struct tape *t, const struct batch *b, const int32_t *rows, int64_t n, const float *dh)
{
    const struct model *m = t->m;
    int64_t d = m->config.hidden_size;
    float *gain = m->norm->trainable ? m->gradient + m->norm->offset : NULL;
    float *drows = t->n;
    profile_op(OP_NORM);
    memset(drows, 0, (size_t)(n * d) * sizeof *drows);
    rms_norm_backward(drows, d, gain, dh, d, t->rows, d, m->norm->data, t->r_rows, n, d);
    memset(t->dx, 0, (size_t)(b->T * d) * sizeof *t->dx);
    for (int64_t i = 0; i < n; i++)
        vector_add(t->dx + rows[i] * d, drows + i * d, d);
}

/* The end of a block's trainable parameters: gradients below it are final once the block's backward is done. */
static int64_t end_of_block(const struct model *m, int layer)
{
    int64_t end = 0;
    for (int i = 0; i < m->param_count; i++) {
        const struct param *p = &m->params[i];
        if (p->trainable && p->layer >= layer && p->offset + param_elements(p) > end)
            end = p->offset + param_elements(p);
    }
    return end;
}

void model_backward(const struct model *m, struct tape *t, const struct batch *b, const int32_t *rows, int64_t n,
                    const float *dh, void (*done)(void *context, int64_t end), void *context)
{
    const int first_kept = m->config.layers - t->kept;
    ASSERT(t->m == m && t->kept != TAPE_INFERENCE);
    final_norm_backward(t, b, rows, n, dh);
    for (int i = m->config.layers - 1; i >= 0; i--) {
        if (i < first_kept) {
            block_restore(t, b, i);
            tape_save(t, i, b->T);
        }
        tape_load(t, i, b->T);
        block_backward(t, b, i);
        if (!b->last)
            continue;
        profile_op(OP_TP_SUM);
        partial_sum(m, i);
        if (done)
            done(context, end_of_block(m, i));
    }
    profile_op(OP_EMBEDDING);
    if (m->embed->trainable)
        embedding_backward(m->gradient + m->embed->offset, t->dx, b->ids, m->shard.vocab.first,
                           param_local_rows(m->embed), b->T, m->config.hidden_size);
    if (b->last && done)
        done(context, m->trainable_count);
}
