#include "kern/op_attention.h"

#include <math.h>

#include "base/assert.h"
#include "kern/attention_items.h"
#include "kern/block_gemm.h"
#include "kern/kernel.h"

/* Queries and keys are taken in blocks of BLOCK. Inside a block products run on scratch in which the lanes of a vector
 * are queries (forward) or keys (backward): then maxima, sums and corrections of a softmax row are plain vector
 * arithmetic, no sum runs across lanes, and of all operands only one block an item must be transposed. */
/* Lanes in use for n tokens: as many as block_gemm computes. */
static int64_t lanes_of(int64_t n)
{
    return (n + COLUMNS - 1) / COLUMNS * COLUMNS;
}

/* to[D, BLOCK] = scale * from[n, D]^T, zeros in the lanes that belong to no token. */
static void transpose_in(float *to, const float *from, int64_t ld, int64_t n, int64_t D, float scale)
{
    const int64_t d4 = D / 4 * 4, n4 = n / 4 * 4, lanes = lanes_of(n);
    for (int64_t i = 0; i < n4; i += 4)
        for (int64_t d = 0; d < d4; d += 4)
            transpose_4x4(to + d * BLOCK + i, BLOCK, from + i * ld + d, ld);
    for (int64_t d = 0; d < D; d++) {
        for (int64_t i = d < d4 ? n4 : 0; i < n; i++)
            to[d * BLOCK + i] = from[i * ld + d];
        for (int64_t i = n; i < lanes; i++)
            to[d * BLOCK + i] = 0;
#pragma omp simd
        for (int64_t i = 0; i < lanes; i++)
            to[d * BLOCK + i] *= scale;
    }
}

/* to[n, D] = from[D, BLOCK]^T */
static void transpose_out(float *to, int64_t ld, const float *from, int64_t n, int64_t D)
{
    const int64_t d4 = D / 4 * 4, n4 = n / 4 * 4;
    for (int64_t i = 0; i < n4; i += 4)
        for (int64_t d = 0; d < d4; d += 4)
            transpose_4x4(to + i * ld + d, ld, from + d * BLOCK + i, BLOCK);
    for (int64_t i = 0; i < n; i++)
        for (int64_t d = i < n4 ? d4 : 0; d < D; d++)
            to[i * ld + d] = from[d * BLOCK + i];
}

/* --- forward --- */

/* One block of queries, in lanes: columns of every array. */
struct forward_block {
    float q[MOST_D * BLOCK];   /* [D, BLOCK], times the scale of scores */
    float out[MOST_D * BLOCK]; /* [D, BLOCK], relative to max */
    float p[BLOCK * BLOCK];    /* [key, query]: scores, then their exponentials */
    float max[BLOCK], sum[BLOCK];
    int64_t lanes; /* in use */
};

/* Keys that come after the query leave the softmax. gap: the first key's position less the first query's. */
static void mask_future(float *p, int64_t keys, int64_t lanes, int64_t gap)
{
    for (int64_t j = 0; j < keys; j++)
        for (int64_t i = 0; i < min_i64(lanes, gap + j); i++)
            p[j * BLOCK + i] = -INFINITY;
}

/* Scores become exponentials under the new maximum, for COLUMNS lanes: few enough that maxima and sums stay in
 * registers. correction: what sums under the old maximum must be multiplied by. */
static void softmax_lanes(float *p, float *max, float *sum, float *correction, int64_t keys)
{
    float m[COLUMNS], s[COLUMNS] = {0};
    memcpy(m, max, sizeof m);
    for (int64_t j = 0; j < keys; j++)
#pragma omp simd
        for (int i = 0; i < COLUMNS; i++)
            m[i] = p[j * BLOCK + i] > m[i] ? p[j * BLOCK + i] : m[i];
    for (int64_t j = 0; j < keys; j++)
#pragma omp simd
        for (int i = 0; i < COLUMNS; i++) {
            p[j * BLOCK + i] = exp_nonpositive(p[j * BLOCK + i] - m[i]);
            s[i] += p[j * BLOCK + i];
        }
#pragma omp simd
    for (int i = 0; i < COLUMNS; i++) {
        correction[i] = exp_nonpositive(max[i] - m[i]);
        sum[i] = sum[i] * correction[i] + s[i];
        max[i] = m[i];
    }
}

static void rescale(float *out, const float *correction, int64_t lanes, int D)
{
    float least = 1;
    for (int64_t i = 0; i < lanes; i++)
        least = correction[i] < least ? correction[i] : least;
    if (least == 1)
        return; /* no maximum moved, as in most blocks */
    for (int d = 0; d < D; d++)
#pragma omp simd
        for (int64_t i = 0; i < lanes; i++)
            out[d * BLOCK + i] *= correction[i];
}

static void forward_step(struct forward_block *f, const float *k, const float *v, int64_t queries, int64_t keys,
                         int64_t gap, const struct attention_shape *s)
{
    float correction[BLOCK];
    block_gemm(f->p, BLOCK, k, s->ldk, 1, f->q, BLOCK, keys, queries, s->D, false);
    if (gap + keys > 1)
        mask_future(f->p, keys, f->lanes, gap);
    for (int64_t i = 0; i < f->lanes; i += COLUMNS)
        softmax_lanes(f->p + i, f->max + i, f->sum + i, correction + i, keys);
    rescale(f->out, correction, f->lanes, s->D);
    block_gemm(f->out, BLOCK, v, 1, s->ldv, f->p, BLOCK, s->D, queries, keys, true);
}

static void forward_store(float *out, float *lse, struct forward_block *f, int64_t queries,
                          const struct attention_shape *s)
{
    float inverse[BLOCK];
    for (int64_t i = 0; i < f->lanes; i++)
        inverse[i] = 1 / f->sum[i];
    rescale(f->out, inverse, f->lanes, s->D);
    transpose_out(out, s->ldo, f->out, queries, s->D);
    for (int64_t i = 0; i < queries; i++)
        lse[i] = f->max[i] + logf(f->sum[i]);
}

static void forward_item(float *out, float *lse, const float *q, const float *k, const float *v, const struct walk *w,
                         int head, int64_t block)
{
    const struct attention_shape *s = w->s;
    const int64_t i0 = block * BLOCK, queries = min_i64(BLOCK, w->length - i0), row = w->first + i0;
    const float *key = k + w->first * s->ldk + s->kv_of[head] * s->D;
    const float *value = v + w->first * s->ldv + s->kv_of[head] * s->D;
    struct forward_block f;
    f.lanes = lanes_of(queries);
    transpose_in(f.q, q + row * s->ldq + head * s->D, s->ldq, queries, s->D, s->scale);
    for (int64_t i = 0; i < f.lanes; i++) {
        f.max[i] = -INFINITY;
        f.sum[i] = 0;
    }
    for (int d = 0; d < s->D; d++)
        memset(f.out + d * BLOCK, 0, (size_t)f.lanes * sizeof *f.out);
    for (int64_t j0 = 0; j0 < i0 + queries; j0 += BLOCK)
        forward_step(&f, key + j0 * s->ldk, value + j0 * s->ldv, queries, min_i64(BLOCK, i0 + queries - j0), j0 - i0,
                     s);
    forward_store(out + row * s->ldo + head * s->D, lse + head * s->ldl + row, &f, queries, s);
}

void KERNEL(attention_f32_forward)(float *out, float *lse, const float *q, const float *k, const float *v,
                                   const struct attention_shape *s)
{
    ASSERT(s->D <= MOST_D);
    int64_t next = 0;
#pragma omp parallel num_threads(attention_threads(s))
    {
        struct walk w = walk_init(s, s->H, 0, s->documents);
        int head;
        int64_t block;
        while (walk_to(&w, ticket_draw(&next), &head, &block))
            if (!walk_past(&w, block))
                forward_item(out, lse, q, k, v, &w, head, block);
    }
}

/* --- backward --- */

/* One block of keys and values with their gradients; keys are the lanes but for dq. An item is a (document, key/value
 * head, block of keys): it goes through the query heads that read it and their blocks of queries, and owns its dk and
 * dv. dq is shared by the items of one document and head: each adds its part after the block of keys before it has. So
 * sums run in the order of keys, and items follow each other like the stages of a pipeline. */
struct backward_block {
    float k_t[MOST_D * BLOCK], v_t[MOST_D * BLOCK];   /* [D, BLOCK] */
    float dk_t[MOST_D * BLOCK], dv_t[MOST_D * BLOCK]; /* [D, BLOCK] */
    float k[MOST_D * BLOCK], dq[MOST_D * BLOCK];      /* [BLOCK, width]: the lanes are the D values of a token */
    float p[BLOCK * BLOCK], ds[BLOCK * BLOCK];        /* [query, key] */
    int64_t keys, width;
};

/* p from scores, ds from dp (in place). A key that comes after its query has p = 0, so ds = 0. */
static void softmax_backward(struct backward_block *b, const float *lse, const float *delta, int64_t queries,
                             bool diagonal, float scale)
{
    for (int64_t i = 0; i < queries; i++) {
        float *p = b->p + i * BLOCK, *ds = b->ds + i * BLOCK;
        const int64_t seen = diagonal ? min_i64(i + 1, b->keys) : b->keys;
#pragma omp simd
        for (int64_t j = 0; j < seen; j++) {
            p[j] = exp_nonpositive(p[j] * scale - lse[i]);
            ds[j] = p[j] * (ds[j] - delta[i]) * scale;
        }
        for (int64_t j = seen; j < BLOCK; j++)
            p[j] = ds[j] = 0;
    }
}

/* row: the first query's token. diagonal: queries and keys are the same tokens. */
static void backward_step(const struct backward *a, struct backward_block *b, int head, int64_t row, int64_t queries,
                          bool diagonal)
{
    const struct attention_shape *s = a->s;
    const float *q = a->q + row * s->ldq + head * s->D, *dout = a->dout + row * s->ldo + head * s->D;
    const float *lse = a->lse + head * s->ldl + row, *delta = a->delta + head * s->T + row;
    /* s = q k^T, dp = dout v^T */
    block_gemm(b->p, BLOCK, q, s->ldq, 1, b->k_t, BLOCK, queries, b->keys, s->D, false);
    block_gemm(b->ds, BLOCK, dout, s->ldo, 1, b->v_t, BLOCK, queries, b->keys, s->D, false);
    softmax_backward(b, lse, delta, queries, diagonal, s->scale);
    /* out = p v, s = q k^T: dv^T += dout^T p, dk^T += q^T ds, dq = ds k */
    block_gemm(b->dv_t, BLOCK, dout, 1, s->ldo, b->p, BLOCK, s->D, b->keys, queries, true);
    block_gemm(b->dk_t, BLOCK, q, 1, s->ldq, b->ds, BLOCK, s->D, b->keys, queries, true);
    block_gemm(b->dq, b->width, b->ds, BLOCK, 1, b->k, b->width, queries, s->D, b->keys, false);
}

/* The first block of keys sets dq of a block of queries, the others add. */
static void store_dq(float *dq, const struct backward_block *b, int64_t queries, bool first,
                     const struct attention_shape *s)
{
    for (int64_t i = 0; i < queries; i++)
#pragma omp simd
        for (int d = 0; d < s->D; d++)
            dq[i * s->ldq + d] = b->dq[i * b->width + d] + (first ? 0 : dq[i * s->ldq + d]);
}

static void backward_load(const struct backward *a, struct backward_block *b, int kv, int64_t row)
{
    const struct attention_shape *s = a->s;
    const float *k = a->k + row * s->ldk + kv * s->D, *v = a->v + row * s->ldv + kv * s->D;
    const size_t bytes = (size_t)s->D * BLOCK * sizeof(float);
    transpose_in(b->k_t, k, s->ldk, b->keys, s->D, 1);
    transpose_in(b->v_t, v, s->ldv, b->keys, s->D, 1);
    for (int64_t j = 0; j < b->keys; j++)
        for (int64_t d = 0; d < b->width; d++)
            b->k[j * b->width + d] = d < s->D ? k[j * s->ldk + d] : 0;
    memset(b->dk_t, 0, bytes);
    memset(b->dv_t, 0, bytes);
}

static void backward_store(const struct backward *a, const struct backward_block *b, int kv, int64_t row)
{
    const struct attention_shape *s = a->s;
    float *dk = a->dk + row * s->ldk + kv * s->D, *dv = a->dv + row * s->ldv + kv * s->D;
    transpose_out(dk, s->ldk, b->dk_t, b->keys, s->D);
    transpose_out(dv, s->ldv, b->dv_t, b->keys, s->D);
}

static void backward_item(const struct backward *a, struct progress *progress, int64_t ticket, const struct walk *w,
                          int kv, int64_t block)
{
    const struct attention_shape *s = a->s;
    struct backward_block b;
    uint64_t steps = 0, earlier = 0; /* steps of this item, and those that the one before must have done */
    b.keys = min_i64(BLOCK, w->length - block * BLOCK);
    b.width = (s->D + COLUMNS - 1) / COLUMNS * COLUMNS;
    backward_load(a, &b, kv, w->first + block * BLOCK);
    for (int head = 0; head < s->H; head++) {
        if (s->kv_of[head] != kv)
            continue;
        earlier++; /* it has one block of queries more */
        for (int64_t i = block; i < w->blocks; i++) {
            const int64_t row = w->first + i * BLOCK, queries = min_i64(BLOCK, w->length - i * BLOCK);
            const int64_t at = row * s->ldo + head * s->D;
            if (block == 0)
                row_deltas(a->delta + head * s->T + row, a->dout + at, a->out + at, s->ldo, queries, s->D);
            else
                progress_wait(progress, ticket - 1, ++earlier);
            backward_step(a, &b, head, row, queries, i == block);
            store_dq(a->dq + row * s->ldq + head * s->D, &b, queries, block == 0, s);
            progress_set(progress, ticket, ++steps);
        }
    }
    backward_store(a, &b, kv, w->first + block * BLOCK);
}

void KERNEL(attention_f32_backward)(float *dq, float *dk, float *dv, float *delta, const float *dout, const float *q,
                                    const float *k, const float *v, const float *out, const float *lse,
                                    const struct attention_shape *s)
{
    ASSERT(s->D <= MOST_D);
    const struct backward a = {dq, dk, dv, delta, dout, q, k, v, out, lse, s};
    struct progress progress = {{0}};
    int64_t next = 0;
#pragma omp parallel num_threads(attention_threads(s))
    {
        struct walk w = walk_init(s, s->K, 0, s->documents);
        int64_t ticket, block;
        int kv;
        while (walk_to(&w, ticket = ticket_draw(&next), &kv, &block)) {
            progress_begin(&progress, ticket);
            backward_item(&a, &progress, ticket, &w, kv, block);
            progress_set(&progress, ticket, ALL_STEPS);
        }
    }
}

/* --- decoding --- */

static float dot(const float *a, const float *b, int n)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void decode_head(float *out, const float *q, const float *keys, int64_t ldk, const float *values, int64_t ldv,
                        int64_t n, int D, float scale)
{
    float sum_pv[MOST_D] = {0}, max = -INFINITY, sum = 0;
    for (int64_t j0 = 0; j0 < n; j0 += BLOCK) {
        const int64_t block = min_i64(BLOCK, n - j0);
        float s[BLOCK], top = max;
        for (int64_t j = 0; j < block; j++) {
            s[j] = dot(q, keys + (j0 + j) * ldk, D) * scale;
            top = s[j] > top ? s[j] : top;
        }
        const float correction = exp_nonpositive(max - top);
        max = top;
        sum *= correction;
#pragma omp simd
        for (int d = 0; d < D; d++)
            sum_pv[d] *= correction;
        for (int64_t j = 0; j < block; j++) {
            const float p = exp_nonpositive(s[j] - max);
            sum += p;
#pragma omp simd
            for (int d = 0; d < D; d++)
                sum_pv[d] += p * values[(j0 + j) * ldv + d];
        }
    }
    for (int d = 0; d < D; d++)
        out[d] = sum_pv[d] / sum;
}

void KERNEL(attention_decode)(float *out, const float *q, const float *keys, int64_t ldk, const float *values,
                              int64_t ldv, int64_t n, int H, int K, int D, const int32_t *kv_of, float scale)
{
    ASSERT(D <= MOST_D && n > 0);
    for (int h = 0; h < H; h++)
        ASSERT(kv_of[h] >= 0 && kv_of[h] < K);
    KERN_FOR(h, H, n * H * D,
             decode_head(out + h * D, q + h * D, keys + kv_of[h] * D, ldk, values + kv_of[h] * D, ldv, n, D, scale));
}
