#include "model/tape.h"

#include <string.h>

#include "base/assert.h"
#include "base/integer.h"
#include "base/mem.h"
#include "base/profile.h"
#include "kern/op_attention.h"
#include "kern/quant.h"

/* Hands out arrays of one arena, or only counts them (arena NULL). After the first failure it hands out nothing, and
 * the caller asks once. */
struct room {
    struct arena *arena;
    bool failed;
    size_t bytes;
};

static void *bytes(struct room *r, int64_t n, size_t each)
{
    const size_t size = (size_t)(n > 0 ? n : 1) * each;
    r->bytes += size;
    if (!r->arena)
        return NULL;
    void *p = r->failed ? NULL : arena_try(r->arena, size, 1);
    r->failed |= !p;
    return p;
}

static float *floats(struct room *r, int64_t n)
{
    return bytes(r, n, sizeof(float));
}

static int64_t width(struct range r)
{
    return r.end - r.first;
}

int64_t tape_sum_width(const struct model *m)
{
    enum { MOST_LAYERS_IN_ONE_SUM = 3 }; /* q, k, v */
    return m->config.hidden_size + MOST_LAYERS_IN_ONE_SUM * (int64_t)m->options.adapter.rank;
}

/* What a block needs besides its input: that which stays f32 (narrow, or the residual stream itself), */
static void make_narrow(struct block_tape *b, const struct model *m, int64_t T, struct room *r)
{
    const struct shard *s = &m->shard;
    b->x_mid = floats(r, T * m->config.hidden_size);
    b->r_attn = floats(r, T);
    b->r_mlp = floats(r, T);
    b->r_q = m->config.qk_norm ? floats(r, T * width(s->heads)) : NULL;
    b->r_k = m->config.qk_norm ? floats(r, T * width(s->kv_heads)) : NULL;
    b->lse = floats(r, T * width(s->heads));
    for (int i = 0; i < LIN_COUNT && m->options.adapter.rank; i++)
        b->inner[i] = floats(r, T * m->options.adapter.rank);
}

/* and that which is saved in the precision that the model computes in. */
static void make_wide(struct block_tape *b, const struct model *m, int64_t T, struct room *r)
{
    const int64_t Q = width(m->shard.q), KV = width(m->shard.kv), F = width(m->shard.ffn);
    b->q = floats(r, T * Q);
    b->k = floats(r, T * KV);
    b->v = floats(r, T * KV);
    b->attn = floats(r, T * Q);
    b->gate = floats(r, T * F);
    b->up = floats(r, T * F);
    b->q_raw = m->config.qk_norm ? floats(r, T * Q) : b->q;
    b->k_raw = m->config.qk_norm ? floats(r, T * KV) : b->k;
}

enum { WIDE = 8 };
struct wide {
    float *at;
    int64_t width;
};

/* Those of a block, and how many. */
static int wide_of(struct wide list[WIDE], const struct model *m, const struct block_tape *b)
{
    const int64_t Q = width(m->shard.q), KV = width(m->shard.kv), F = width(m->shard.ffn);
    const struct wide all[WIDE] = {{b->q, Q},    {b->k, KV}, {b->v, KV},    {b->attn, Q},
                                   {b->gate, F}, {b->up, F}, {b->q_raw, Q}, {b->k_raw, KV}};
    memcpy(list, all, sizeof all);
    return m->config.qk_norm ? WIDE : WIDE - 2;
}

static bool saves_half(const struct tape *t)
{
    return t->kept != TAPE_INFERENCE && t->m->options.precision != PRECISION_F32;
}

static void make_saved(struct block_tape *b, const struct model *m, int64_t T, struct room *r)
{
    struct wide list[WIDE];
    int64_t elements = 0;
    for (int i = wide_of(list, m, b); i-- > 0;)
        elements += T * list[i].width;
    b->saved = bytes(r, elements, sizeof *b->saved);
}

void tape_save(struct tape *t, int layer, int64_t tokens)
{
    profile_op(OP_SAVE);
    struct wide list[WIDE];
    uint16_t *to = t->blocks[layer].saved;
    const int n = wide_of(list, t->m, &t->blocks[layer]);
    for (int i = 0; to && i < n; to += t->T * list[i++].width)
        convert_f32_to_bf16(to + t->first * list[i].width, list[i].at, tokens * list[i].width);
}

void tape_load(struct tape *t, int layer, int64_t tokens)
{
    profile_op(OP_SAVE);
    struct wide list[WIDE];
    const uint16_t *from = t->blocks[layer].saved;
    const int n = wide_of(list, t->m, &t->blocks[layer]);
    for (int i = 0; from && i < n; from += t->T * list[i++].width)
        convert_bf16_to_f32(list[i].at, from + t->first * list[i].width, tokens * list[i].width);
}

float *tape_output(const struct tape *t, int layer)
{
    return layer + 1 < t->m->config.layers ? t->blocks[layer + 1].x_in : t->x;
}

/* Every block of a training tape has an input of its own; the last `kept` have the rest of their own, too. */
static void make_blocks(struct tape *t, struct block_tape *blocks, struct room *r)
{
    const struct model *m = t->m;
    const int L = m->config.layers;
    const int64_t stream = t->T * m->config.hidden_size;
    struct block_tape shared = {.x_in = floats(r, stream)};
    make_narrow(&shared, m, t->T, r);
    make_wide(&shared, m, t->T, r);
    if (saves_half(t))
        make_saved(&shared, m, t->T, r);
    if (t->kept == TAPE_INFERENCE)
        shared.x_mid = shared.x_in; /* without a backward the residual stream is changed in place */
    for (int i = 0; i < L; i++) {
        const bool own = i > L - t->kept && t->kept != TAPE_INFERENCE;
        struct block_tape b = shared;
        if (i > 0 && t->kept != TAPE_INFERENCE)
            b.x_in = floats(r, stream);
        if (own)
            make_narrow(&b, m, t->T, r);
        if (own && saves_half(t))
            make_saved(&b, m, t->T, r);
        else if (own)
            make_wide(&b, m, t->T, r);
        if (blocks)
            blocks[i] = b;
    }
    t->x = t->kept == TAPE_INFERENCE ? shared.x_in : floats(r, stream);
}

static void make_attention(struct tape *t, struct room *r)
{
    const struct shard *s = &t->m->shard;
    t->attention_size = attention_scratch(t->m->options.precision, t->T, (int)width(s->heads), (int)width(s->kv_heads),
                                          t->m->config.head_dim, t->kept != TAPE_INFERENCE);
    if (t->attention_size)
        t->attention = bytes(r, (int64_t)t->attention_size, 1);
}

static void make_scratch(struct tape *t, struct room *r)
{
    const struct model *m = t->m;
    const struct shard *s = &m->shard;
    int64_t T = t->T, d = m->config.hidden_size, Q = width(s->q), KV = width(s->kv), F = width(s->ffn);
    t->n = floats(r, T * d);
    t->h = floats(r, T * F);
    t->sum = floats(r, T * tape_sum_width(m));
    t->rows = floats(r, T * d);
    t->r_rows = floats(r, T);
    make_attention(t, r);
    if (t->kept == TAPE_INFERENCE)
        return;
    t->dropped = floats(r, T * max_i64(d, max_i64(Q, F)));
    t->dx = floats(r, T * d);
    t->dq = floats(r, T * Q);
    t->dk = floats(r, T * KV);
    t->dv = floats(r, T * KV);
    t->dattn = floats(r, T * Q);
    t->delta = floats(r, T * width(s->heads));
    t->dh = floats(r, T * F);
    t->dinner = floats(r, T * max_i64(m->options.adapter.rank, 1));
}

static void make_halves(struct tape *t)
{
    t->halves = arena_alloc(&t->arena, 2, sizeof *t->halves);
    t->halves_start = arena_alloc(&t->arena, (size_t)t->T + 3, sizeof *t->halves_start);
    for (int i = 0; i < 2; i++)
        t->halves[i].blocks = arena_alloc(&t->arena, (size_t)t->m->config.layers, sizeof *t->blocks);
}

size_t tape_bytes(const struct model *m, int64_t T, int kept)
{
    struct tape t = {.m = m, .T = T, .kept = kept};
    struct room r = {0};
    make_blocks(&t, NULL, &r);
    make_scratch(&t, &r);
    return r.bytes + (size_t)T * sizeof *t.position;
}

struct tape *tape_new(const struct model *m, int64_t T, int kept, struct err *e)
{
    ASSERT(kept >= 0 && kept <= m->config.layers);
    struct tape *t = mem_alloc(sizeof *t);
    t->m = m;
    t->T = T;
    t->kept = kept;
    arena_init(&t->arena);
    t->blocks = arena_alloc(&t->arena, (size_t)m->config.layers, sizeof *t->blocks);
    struct room r = {.arena = &t->arena};
    make_blocks(t, t->blocks, &r);
    make_scratch(t, &r);
    t->position = r.failed ? NULL : arena_try(&t->arena, (size_t)T, sizeof(int32_t));
    if (m->shard.count > 1)
        make_halves(t);
    if (!t->position) {
        err_set(e, ERR_ENVIRONMENT,
                "no memory for the activations of %lld tokens (%lld bytes were had); lower train.micro_batch_tokens or "
                "data.sequence_length",
                (long long)T, (long long)t->arena.bytes);
        tape_free(t);
        return NULL;
    }
    return t;
}

void tape_free(struct tape *t)
{
    if (!t)
        return;
    arena_release(&t->arena);
    mem_free(t);
}
