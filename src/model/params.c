#include "model/params.h"

#include <string.h>

#include "base/assert.h"

static const struct param_row table[PARAM_ROLES] = {
    {PARAM_EMBED, "model.embed_tokens.weight", "token_embd.weight", NULL, DIM_VOCAB, DIM_HIDDEN, false, true, false},
    {PARAM_ATTN_NORM, "model.layers.%d.input_layernorm.weight", "blk.%d.attn_norm.weight", NULL, DIM_HIDDEN, DIM_ONE,
     true, false, false},
    {PARAM_Q, "model.layers.%d.self_attn.q_proj.weight", "blk.%d.attn_q.weight", "q_proj", DIM_Q, DIM_HIDDEN, true,
     true, true},
    {PARAM_K, "model.layers.%d.self_attn.k_proj.weight", "blk.%d.attn_k.weight", "k_proj", DIM_KV, DIM_HIDDEN, true,
     true, true},
    {PARAM_V, "model.layers.%d.self_attn.v_proj.weight", "blk.%d.attn_v.weight", "v_proj", DIM_KV, DIM_HIDDEN, true,
     true, false},
    {PARAM_Q_BIAS, "model.layers.%d.self_attn.q_proj.bias", "blk.%d.attn_q.bias", NULL, DIM_Q, DIM_ONE, true, false,
     true},
    {PARAM_K_BIAS, "model.layers.%d.self_attn.k_proj.bias", "blk.%d.attn_k.bias", NULL, DIM_KV, DIM_ONE, true, false,
     true},
    {PARAM_V_BIAS, "model.layers.%d.self_attn.v_proj.bias", "blk.%d.attn_v.bias", NULL, DIM_KV, DIM_ONE, true, false,
     false},
    {PARAM_Q_NORM, "model.layers.%d.self_attn.q_norm.weight", "blk.%d.attn_q_norm.weight", NULL, DIM_HEAD, DIM_ONE,
     true, false, false},
    {PARAM_K_NORM, "model.layers.%d.self_attn.k_norm.weight", "blk.%d.attn_k_norm.weight", NULL, DIM_HEAD, DIM_ONE,
     true, false, false},
    {PARAM_O, "model.layers.%d.self_attn.o_proj.weight", "blk.%d.attn_output.weight", "o_proj", DIM_HIDDEN, DIM_Q, true,
     true, false},
    {PARAM_MLP_NORM, "model.layers.%d.post_attention_layernorm.weight", "blk.%d.ffn_norm.weight", NULL, DIM_HIDDEN,
     DIM_ONE, true, false, false},
    {PARAM_GATE, "model.layers.%d.mlp.gate_proj.weight", "blk.%d.ffn_gate.weight", "gate_proj", DIM_FFN, DIM_HIDDEN,
     true, true, false},
    {PARAM_UP, "model.layers.%d.mlp.up_proj.weight", "blk.%d.ffn_up.weight", "up_proj", DIM_FFN, DIM_HIDDEN, true, true,
     false},
    {PARAM_DOWN, "model.layers.%d.mlp.down_proj.weight", "blk.%d.ffn_down.weight", "down_proj", DIM_HIDDEN, DIM_FFN,
     true, true, false},
    {PARAM_NORM, "model.norm.weight", "output_norm.weight", NULL, DIM_HIDDEN, DIM_ONE, false, false, false},
    {PARAM_HEAD, "lm_head.weight", "output.weight", NULL, DIM_VOCAB, DIM_HIDDEN, false, true, false},
};

const struct param_row *param_row(enum param_role role)
{
    ASSERT(table[role].role == role);
    return &table[role];
}

bool param_exists(const struct model_config *c, enum param_role role)
{
    switch (role) {
    case PARAM_Q_BIAS:
    case PARAM_K_BIAS:
    case PARAM_V_BIAS:
        return c->qkv_bias;
    case PARAM_Q_NORM:
    case PARAM_K_NORM:
        return c->qk_norm;
    case PARAM_HEAD:
        return !c->tie_word_embeddings;
    default:
        return true;
    }
}

static struct range cut(int64_t n, int p, int P)
{
    return (struct range){n * p / P, n * (p + 1) / P};
}

static struct range scaled(struct range r, int64_t factor)
{
    return (struct range){r.first * factor, r.end * factor};
}

int shard_make(struct shard *s, const struct model_config *c, int index, int count, const char *key, struct arena *a,
               struct err *e)
{
    if (count < 1 || count > c->heads)
        return err_set(e, ERR_USAGE, "%s: %d is impossible for this model: it takes 1 to %d, its query heads", key,
                       count, c->heads);
    int group = c->heads / c->kv_heads;
    struct range heads = cut(c->heads, index, count);
    struct range kv = {heads.first / group, (heads.end - 1) / group + 1};
    /* the shard below ends with the query head before ours; if that one reads our first KV head, it holds it, too */
    int64_t owned = heads.first % group ? kv.first + 1 : kv.first;
    *s = (struct shard){
        .index = index,
        .count = count,
        .heads = heads,
        .kv_heads = kv,
        .q = scaled(heads, c->head_dim),
        .kv = scaled(kv, c->head_dim),
        .kv_owned = owned * c->head_dim,
        .ffn = cut(c->intermediate_size, index, count),
        .vocab = cut(c->vocab_size, index, count),
        .kv_of = arena_alloc(a, (size_t)(heads.end - heads.first), sizeof(int32_t)),
    };
    for (int64_t h = heads.first; h < heads.end; h++)
        s->kv_of[h - heads.first] = (int32_t)(h / group - kv.first);
    return 0;
}

struct matrix param_matrix(const struct param *p)
{
    return (struct matrix){p->data, p->dtype, param_local_rows(p), param_local_cols(p), p->packed};
}

static int64_t dim_size(const struct model_config *c, enum dim d, int lora_rank)
{
    switch (d) {
    case DIM_ONE:
        return 1;
    case DIM_HIDDEN:
        return c->hidden_size;
    case DIM_HEAD:
        return c->head_dim;
    case DIM_RANK:
        return lora_rank;
    case DIM_Q:
        return (int64_t)c->heads * c->head_dim;
    case DIM_KV:
        return (int64_t)c->kv_heads * c->head_dim;
    case DIM_FFN:
        return c->intermediate_size;
    case DIM_VOCAB:
        return c->vocab_size;
    }
    ASSERT(!"a dimension outside the list");
    return 0;
}

static struct range dim_range(enum dim d, const struct shard *s, int64_t size)
{
    switch (d) {
    case DIM_Q:
        return s->q;
    case DIM_KV:
        return s->kv;
    case DIM_FFN:
        return s->ffn;
    case DIM_VOCAB:
        return s->vocab;
    default:
        return (struct range){0, size};
    }
}

static bool dim_is_cut(enum dim d)
{
    return d == DIM_Q || d == DIM_KV || d == DIM_FFN || d == DIM_VOCAB;
}

static const char *part_name(const struct param *p, struct arena *a)
{
    char *base = arena_printf(a, p->row->hf, p->layer);
    if (p->part == PART_BASE)
        return base;
    const char *suffix = strrchr(base, '.'); /* ".weight" */
    return arena_printf(a, "base_model.model.%.*s.lora_%c.weight", (int)(suffix - base), base,
                        p->part == PART_LORA_A ? 'A' : 'B');
}

void param_describe(struct param *p, const struct model_config *c, const struct shard *s, enum param_role role,
                    int layer, enum param_part part, int lora_rank, struct arena *a)
{
    const struct param_row *row = param_row(role);
    enum dim rows = part == PART_LORA_A ? DIM_RANK : row->rows;
    enum dim cols = part == PART_LORA_B ? DIM_RANK : row->cols;
    *p = (struct param){.row = row, .layer = layer, .part = part, .offset = -1, .dtype = DTYPE_F32};
    p->name = part_name(p, a);
    p->global_rows = dim_size(c, rows, lora_rank);
    p->global_cols = dim_size(c, cols, lora_rank);
    p->rows = dim_range(rows, s, p->global_rows);
    p->cols = dim_range(cols, s, p->global_cols);
    if (rows == DIM_KV)
        p->owned_first = (s->kv_owned < s->kv.end ? s->kv_owned : s->kv.end) - s->kv.first;
    else if (!dim_is_cut(rows) && !dim_is_cut(cols) && s->index > 0)
        p->owned_first = param_local_rows(p); /* whole on every shard: the first one counts it */
}

bool param_is_partial(const struct param *p, const struct shard *s)
{
    if (s->count == 1)
        return false;
    if (p->row->role == PARAM_Q_NORM || p->row->role == PARAM_K_NORM)
        return true;
    return p->row->rows == DIM_KV && p->part != PART_LORA_A;
}

int param_file_shape(const struct param *p, int64_t shape[2])
{
    shape[0] = p->global_rows;
    shape[1] = p->global_cols;
    return p->part == PART_BASE && p->row->cols == DIM_ONE ? 1 : 2;
}
