/* Attention with products in bf16, forward: see attention_pack.h. */
#include <math.h>
#include <omp.h>

#include "base/assert.h"
#include "kern/attention_pack.h"
#include "kern/convert_inline.h"
#include "kern/kernel.h"

#ifdef KERN_ONCE
/* A document as long as all tokens fits, and a fourth more, since the last block of each document is padded. */
size_t attention_bf16_scratch(int64_t T, int H, int K, int D, bool backward)
{
    const int64_t blocks = ceil_div(T, BLOCK) + T / BLOCK / 4;
    const size_t forward = bytes_a_block(K, FORWARD_PACKS, D), back = bytes_a_block(H, BACKWARD_PACKS, D);
    return (size_t)blocks * (backward && back > forward ? back : forward);
}
#endif

/* to[tokens, D] = scale[token] * from, [slice][BLOCK, BLOCK] */
static void store_rows(float *to, int64_t ld, const float *from, const float *scale, int64_t tokens, int D)
{
    for (int slice = 0; slice < slices_of(D); slice++, from += BLOCK_SIZE) {
        const int64_t d = slice * BLOCK, width = min_i64(BLOCK, D - d);
        for (int64_t i = 0; i < tokens; i++)
#pragma omp simd
            for (int64_t j = 0; j < width; j++)
                to[i * ld + d + j] = from[i * BLOCK + j] * scale[i];
    }
}

enum { KEYS, VALUES }; /* packed */

/* One block of queries, in rows. */
struct forward_block {
    const struct block_bf16 *x;
    int thread;
    const struct packed *packed;
    const struct attention_shape *s;
    uint16_t q[SLICES * BLOCK_SIZE]; /* [slice][query, value] */
    float scores[BLOCK * ROW];       /* [query, key] */
    uint16_t p[BLOCK * ROW];         /* exp(scale * (scores - max)) */
    float out[SLICES * BLOCK_SIZE];  /* [slice][query, value], relative to max */
    float max[BLOCK], sum[BLOCK];
};

/* LANES partial results of each row, and one for all 64 rows together: a row's own would be a chain of dependent
 * operations on single elements, as long as all its arithmetic. Two of the widest vectors hide each other's latency. */
enum { LANES = 32 };

static void turn_lanes(float turned[LANES][BLOCK], float part[BLOCK][LANES])
{
    for (int i = 0; i < BLOCK; i += 4)
        for (int l = 0; l < LANES; l += 4)
            transpose_4x4(&turned[l][i], BLOCK, &part[i][l], LANES);
}

static void lanes_max(float *max, float part[BLOCK][LANES])
{
    float turned[LANES][BLOCK];
    turn_lanes(turned, part);
    for (int l = 0; l < LANES; l++)
#pragma omp simd
        for (int i = 0; i < BLOCK; i++)
            max[i] = turned[l][i] > max[i] ? turned[l][i] : max[i];
}

static void lanes_sum(float *sum, float part[BLOCK][LANES])
{
    float turned[LANES][BLOCK];
    turn_lanes(turned, part);
    for (int l = 0; l < LANES; l++)
#pragma omp simd
        for (int i = 0; i < BLOCK; i++)
            sum[i] += turned[l][i];
}

static void row_max(float part[LANES], const float *x, int64_t n)
{
    float m[LANES];
    memcpy(m, x, sizeof m);
    for (int64_t j = LANES; j < n; j += LANES)
#pragma omp simd
        for (int i = 0; i < LANES; i++)
            m[i] = x[j + i] > m[i] ? x[j + i] : m[i];
    memcpy(part, m, sizeof m);
}

/* p = exp(scale * (score - max)), and its sum */
static void row_exp(uint16_t *p, float part[LANES], const float *score, float scale, float max, int64_t n)
{
    float sum[LANES] = {0};
    for (int64_t j = 0; j < n; j += LANES)
#pragma omp simd
        for (int i = 0; i < LANES; i++) {
            const float e = exp_nonpositive((score[j + i] - max) * scale);
            sum[i] += e;
            p[j + i] = bf16_round_number(e);
        }
    memcpy(part, sum, sizeof sum);
}

/* All queries against `keys` keys (whole blocks). correction: what everything under the old maximum must be multiplied
 * by. */
static void softmax_rows(struct forward_block *f, float *correction, int64_t keys, float scale)
{
    float part[BLOCK][LANES], before[BLOCK];
    memcpy(before, f->max, sizeof before);
    for (int i = 0; i < BLOCK; i++)
        row_max(part[i], f->scores + i * keys, keys);
    lanes_max(f->max, part);
#pragma omp simd
    for (int i = 0; i < BLOCK; i++) {
        correction[i] = exp_nonpositive((before[i] - f->max[i]) * scale);
        f->sum[i] *= correction[i];
    }
    for (int i = 0; i < BLOCK; i++)
        row_exp(f->p + i * keys, part[i], f->scores + i * keys, scale, f->max[i], keys);
    lanes_sum(f->sum, part);
}

/* Keys that come after the query leave the softmax. gap: the first key's position less the first query's. */
static void mask_future(float *scores, int64_t keys, int64_t gap)
{
    for (int64_t i = 0; i < BLOCK; i++)
        for (int64_t j = i + 1 - gap; j < keys; j++)
            scores[i * keys + j] = -INFINITY;
}

static void rescale_row(float *out, float factor, int slices)
{
    for (int slice = 0; slice < slices; slice++, out += BLOCK_SIZE)
#pragma omp simd
        for (int d = 0; d < BLOCK; d++)
            out[d] *= factor;
}

/* n blocks of keys, from block `at` of all. gap: the first key's position less the first query's. begun: out holds
 * something. */
static void forward_step(struct forward_block *f, int kv, int64_t at, int64_t n, int64_t gap, bool begun)
{
    const struct attention_shape *s = f->s;
    const int slices = slices_of(s->D);
    float correction[BLOCK];
    for (int d = 0; d < slices; d++)
        f->x->wide(f->x, f->thread, f->scores, f->q + d * BLOCK_SIZE, block_at(f->packed, KEYS, s, kv, d, at), n,
                   d > 0);
    mask_future(f->scores, n * BLOCK, gap);
    softmax_rows(f, correction, n * BLOCK, s->scale);
    for (int i = 0; begun && i < BLOCK; i++)
        if (correction[i] != 1)
            rescale_row(f->out + i * BLOCK, correction[i], slices);
    for (int d = 0; d < slices; d++)
        f->x->deep(f->x, f->thread, f->out + d * BLOCK_SIZE, f->p, block_at(f->packed, VALUES, s, kv, d, at), n, begun);
}

static void forward_item(struct forward_block *f, float *out, float *lse, const float *q, const struct walk *w,
                         int head, int64_t block)
{
    const struct attention_shape *s = f->s;
    const int64_t row = w->first + block * BLOCK, queries = min_i64(BLOCK, w->length - block * BLOCK);
    float inverse[BLOCK];
    for (int d = 0; d < slices_of(s->D); d++)
        pack_rows(f->q + d * BLOCK_SIZE, source_of(q + row * s->ldq + head * s->D, s->ldq, queries, d, s->D));
    for (int64_t i = 0; i < BLOCK; i++) {
        f->max[i] = -INFINITY;
        f->sum[i] = 0;
    }
    for (int64_t j = 0; j <= block; j += BLOCKS_IN_ROW)
        forward_step(f, s->kv_of[head], w->before + j, min_i64(BLOCKS_IN_ROW, block + 1 - j), (j - block) * BLOCK,
                     j > 0);
    for (int64_t i = 0; i < queries; i++) {
        inverse[i] = 1 / f->sum[i];
        lse[head * s->ldl + row + i] = f->max[i] * s->scale + logf(f->sum[i]);
    }
    store_rows(out + row * s->ldo + head * s->D, s->ldo, f->out, inverse, queries, s->D);
}

static void pack_keys(const struct packed *p, const float *k, const float *v, const struct walk *w, int kv,
                      int64_t block)
{
    const struct attention_shape *s = w->s;
    const int64_t row = w->first + block * BLOCK, tokens = min_i64(BLOCK, w->length - block * BLOCK);
    for (int d = 0; d < slices_of(s->D); d++) {
        pack_over_values(block_at(p, KEYS, s, kv, d, w->before + block),
                         source_of(k + row * s->ldk + kv * s->D, s->ldk, tokens, d, s->D));
        pack_over_tokens(block_at(p, VALUES, s, kv, d, w->before + block),
                         source_of(v + row * s->ldv + kv * s->D, s->ldv, tokens, d, s->D));
    }
}

void KERNEL(attention_bf16_forward)(const struct block_bf16 *x, float *out, float *lse, const float *q, const float *k,
                                    const float *v, const struct attention_shape *s)
{
    ASSERT(s->D <= MOST_D);
    const struct packed packed = packed_of(s, s->K, FORWARD_PACKS);
    const int before = omp_get_max_threads(), threads = attention_threads(s);
    omp_set_num_threads(1); /* as oneDNN must see it */
    for (int document = 0, end; document < s->documents; document = end) {
        int64_t packs = 0, next = 0;
        end = documents_that_fit(s, document, packed.blocks);
#pragma omp parallel num_threads(threads)
        {
            struct walk w = walk_init(s, s->K, document, end);
            int head;
            int64_t block;
            while (walk_to(&w, ticket_draw(&packs), &head, &block))
                pack_keys(&packed, k, v, &w, head, block);
#pragma omp barrier
            struct forward_block f;
            f.x = x;
            f.thread = omp_get_thread_num();
            f.packed = &packed;
            f.s = s;
            w = walk_init(s, s->H, document, end);
            while (walk_to(&w, ticket_draw(&next), &head, &block))
                if (!walk_past(&w, block))
                    forward_item(&f, out, lse, q, &w, head, block);
        }
    }
    omp_set_num_threads(before);
}
