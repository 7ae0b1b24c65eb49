#include "model/tape.h"

#include "base/mem.h"

/* Hands out arrays of one arena; after the first failure it hands out nothing, and the caller asks once. */
struct room {
    struct arena *arena;
    bool failed;
};

static float *floats(struct room *r, int64_t n)
{
    float *p = r->failed ? NULL : arena_try(r->arena, (size_t)(n > 0 ? n : 1), sizeof(float));
    r->failed |= !p;
    return p;
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

static void make_block(struct block_tape *b, const struct model *m, int64_t T, struct room *r)
{
    const struct shard *s = &m->shard;
    int64_t d = m->config.hidden_size, Q = width(s->q), KV = width(s->kv), F = width(s->ffn);
    b->x_in = floats(r, T * d);
    b->x_mid = floats(r, T * d);
    b->r_attn = floats(r, T);
    b->r_mlp = floats(r, T);
    b->q = floats(r, T * Q);
    b->k = floats(r, T * KV);
    b->v = floats(r, T * KV);
    b->q_raw = m->config.qk_norm ? floats(r, T * Q) : b->q;
    b->k_raw = m->config.qk_norm ? floats(r, T * KV) : b->k;
    b->r_q = m->config.qk_norm ? floats(r, T * width(s->heads)) : NULL;
    b->r_k = m->config.qk_norm ? floats(r, T * width(s->kv_heads)) : NULL;
    b->attn = floats(r, T * Q);
    b->lse = floats(r, T * width(s->heads));
    b->gate = floats(r, T * F);
    b->up = floats(r, T * F);
    for (int i = 0; i < LIN_COUNT && m->options.adapter.rank; i++)
        b->inner[i] = floats(r, T * m->options.adapter.rank);
}

static void make_blocks(struct tape *t, struct room *r)
{
    const struct model *m = t->m;
    int L = m->config.layers;
    t->blocks = arena_alloc(&t->arena, (size_t)L, sizeof *t->blocks);
    make_block(&t->blocks[0], m, t->T, r);
    for (int i = 1; i < L; i++)
        if (t->training)
            make_block(&t->blocks[i], m, t->T, r);
        else
            t->blocks[i] = t->blocks[0];
    /* without a backward the residual stream is changed in place */
    if (!t->training)
        for (int i = 0; i < L; i++)
            t->blocks[i].x_mid = t->blocks[i].x_in;
    t->x = t->training ? floats(r, t->T * m->config.hidden_size) : t->blocks[0].x_in;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
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
    if (!t->training)
        return;
    t->dropped = floats(r, T * larger(d, larger(Q, F)));
    t->dx = floats(r, T * d);
    t->dq = floats(r, T * Q);
    t->dk = floats(r, T * KV);
    t->dv = floats(r, T * KV);
    t->dattn = floats(r, T * Q);
    t->delta = floats(r, T * width(s->heads));
    t->dh = floats(r, T * F);
    t->dinner = floats(r, T * larger(m->options.adapter.rank, 1));
}

struct tape *tape_new(const struct model *m, int64_t T, bool training, struct err *e)
{
    struct tape *t = mem_alloc(sizeof *t);
    t->m = m;
    t->T = T;
    t->training = training;
    arena_init(&t->arena);
    struct room r = {.arena = &t->arena};
    make_blocks(t, &r);
    make_scratch(t, &r);
    t->position = r.failed ? NULL : arena_try(&t->arena, (size_t)T, sizeof(int32_t));
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
