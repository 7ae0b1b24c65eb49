/* Attention with products in bf16, backward: see attention_pack.h. */
#include <math.h>
#include <omp.h>

#include "base/assert.h"
#include "kern/attention_pack.h"
#include "kern/convert_inline.h"
#include "kern/kernel.h"

/* to[tokens, D] (+)= from, [slice][rows, BLOCK] */
static void add_rows(float *to, int64_t ld, const float *from, int64_t rows, bool add, int64_t tokens, int D)
{
    for (int slice = 0; slice < slices_of(D); slice++, from += rows * BLOCK) {
        const int64_t d = slice * BLOCK, width = min_i64(BLOCK, D - d);
        for (int64_t i = 0; i < tokens; i++)
#pragma omp simd
            for (int64_t j = 0; j < width; j++)
                to[i * ld + d + j] = from[i * BLOCK + j] + (add ? to[i * ld + d + j] : 0);
    }
}

/* Packed: sums over the values of a head, for scores and dp; sums over tokens, for dk and dv. */
enum { QUERIES, DOUT, QUERIES_OVER_TOKENS, DOUT_OVER_TOKENS };

/* One block of keys and values with their gradients, in rows; queries are the columns. An item is a (document, query
 * head, block of keys), so that what a head's items read stays in the cache from one to the next. It adds to dq after
 * the item of the block before it, and to dk and dv after that of the head before it that reads the same keys. */
struct backward_block {
    const struct block_bf16 *x;
    int thread;
    const struct packed *packed;
    const struct backward *a;
    uint16_t k[SLICES * BLOCK_SIZE], v[SLICES * BLOCK_SIZE]; /* [slice][key, value] */
    uint16_t k_right[SLICES * BLOCK_SIZE];                   /* [slice], sums over keys */
    float dk[SLICES * BLOCK_SIZE], dv[SLICES * BLOCK_SIZE];  /* [slice][key, value] */
    float scores[BLOCK * ROW], dp[BLOCK * ROW];              /* [key, query] */
    uint16_t p[BLOCK * ROW], ds[BLOCK * ROW];                /* [key, query] */
    uint16_t ds_rows[BLOCK * ROW];                           /* [query, key] */
    float dq[SLICES * BLOCK * ROW];                          /* [slice][query, value], rows of the step's queries */
    float lse[ROW], delta[ROW]; /* of the queries; those past the document's end have p = 0 */
};

/* Blocks of queries that a step goes through: [first, first + n) of the document, tokens from row. */
struct queries {
    int head;
    int64_t first, n, row, tokens;
    bool diagonal; /* the first block has the keys' own tokens */
};

static void pack_queries(const struct packed *p, const struct backward *a, const struct walk *w, int head,
                         int64_t block)
{
    const struct attention_shape *s = a->s;
    const int64_t row = w->first + block * BLOCK, tokens = min_i64(BLOCK, w->length - block * BLOCK);
    const int64_t at = row * s->ldo + head * s->D;
    for (int d = 0; d < slices_of(s->D); d++) {
        const struct source q = source_of(a->q + row * s->ldq + head * s->D, s->ldq, tokens, d, s->D);
        const struct source dout = source_of(a->dout + at, s->ldo, tokens, d, s->D);
        pack_over_values(block_at(p, QUERIES, s, head, d, w->before + block), q);
        pack_over_values(block_at(p, DOUT, s, head, d, w->before + block), dout);
        pack_over_tokens(block_at(p, QUERIES_OVER_TOKENS, s, head, d, w->before + block), q);
        pack_over_tokens(block_at(p, DOUT_OVER_TOKENS, s, head, d, w->before + block), dout);
    }
    row_deltas(a->delta + head * s->T + row, a->dout + at, a->out + at, s->ldo, tokens, s->D);
}

static void load_statistics(struct backward_block *b, const struct queries *q)
{
    const struct attention_shape *s = b->a->s;
    const size_t bytes = (size_t)q->tokens * sizeof(float);
    memcpy(b->lse, b->a->lse + q->head * s->ldl + q->row, bytes);
    memcpy(b->delta, b->a->delta + q->head * s->T + q->row, bytes);
    for (int64_t i = q->tokens; i < q->n * BLOCK; i++) {
        b->lse[i] = INFINITY;
        b->delta[i] = 0;
    }
}

/* p from scores, ds from dp. A key that comes after its query has p = 0, so ds = 0. */
static void softmax_backward(struct backward_block *b, const struct queries *q, float scale)
{
    const int64_t n = q->n * BLOCK;
    for (int64_t j = 0; j < BLOCK; j++) {
        const float *score = b->scores + j * n, *dp = b->dp + j * n;
        uint16_t *p = b->p + j * n, *ds = b->ds + j * n;
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            const float e = exp_nonpositive(score[i] * scale - b->lse[i]);
            p[i] = bf16_round_number(e);
            ds[i] = bf16_round_number(e * (dp[i] - b->delta[i]) * scale);
        }
        if (q->diagonal) {
            memset(p, 0, (size_t)j * sizeof *p);
            memset(ds, 0, (size_t)j * sizeof *ds);
        }
    }
}

/* at: the first block of queries, of all. begun: dk and dv hold something. */
static void backward_step(struct backward_block *b, const struct queries *q, int64_t at, bool begun)
{
    const struct block_bf16 *x = b->x;
    const struct attention_shape *s = b->a->s;
    const int slices = slices_of(s->D), t = b->thread;
    const struct packed *p = b->packed;
    for (int d = 0; d < slices; d++) { /* s^T = k q^T, dp^T = v dout^T */
        const int64_t slice = d * BLOCK_SIZE;
        x->wide(x, t, b->scores, b->k + slice, block_at(p, QUERIES, s, q->head, d, at), q->n, d > 0);
        x->wide(x, t, b->dp, b->v + slice, block_at(p, DOUT, s, q->head, d, at), q->n, d > 0);
    }
    load_statistics(b, q);
    softmax_backward(b, q, s->scale);
    for (int64_t i = 0; i < q->n; i++)
        pack_turned(b->ds_rows + i * BLOCK_SIZE, b->ds, q->n * BLOCK, i * BLOCK);
    for (int d = 0; d < slices; d++) { /* dv += p^T dout, dk += ds^T q, dq = ds k */
        const int64_t slice = d * BLOCK_SIZE;
        x->deep(x, t, b->dv + slice, b->p, block_at(p, DOUT_OVER_TOKENS, s, q->head, d, at), q->n, begun);
        x->deep(x, t, b->dk + slice, b->ds, block_at(p, QUERIES_OVER_TOKENS, s, q->head, d, at), q->n, begun);
        x->tall(x, t, b->dq + slice * q->n, b->ds_rows, b->k_right + slice, q->n, false);
    }
}

static void backward_load(struct backward_block *b, int kv, int64_t row, int64_t keys)
{
    const struct attention_shape *s = b->a->s;
    for (int d = 0; d < slices_of(s->D); d++) {
        const struct source k = source_of(b->a->k + row * s->ldk + kv * s->D, s->ldk, keys, d, s->D);
        pack_rows(b->k + d * BLOCK_SIZE, k);
        pack_over_tokens(b->k_right + d * BLOCK_SIZE, k);
        pack_rows(b->v + d * BLOCK_SIZE, source_of(b->a->v + row * s->ldv + kv * s->D, s->ldv, keys, d, s->D));
    }
}

/* The blocks of queries from `first` to the end of its row of blocks. Rows begin with the document, whatever the item,
 * so that each waits for one step of the one before it. */
static struct queries queries_at(const struct walk *w, int head, int64_t first, int64_t block)
{
    const int64_t end = min_i64((first / BLOCKS_IN_ROW + 1) * BLOCKS_IN_ROW, w->blocks);
    return (struct queries){.head = head,
                            .first = first,
                            .n = end - first,
                            .row = w->first + first * BLOCK,
                            .tokens = min_i64(end * BLOCK, w->length) - first * BLOCK,
                            .diagonal = first == block};
}

/* dk and dv of a block of keys: the first of the heads that read them sets them, the others add. */
static void store_keys(const struct backward_block *b, int kv, int64_t row, int64_t keys, bool first)
{
    const struct attention_shape *s = b->a->s;
    add_rows(b->a->dk + row * s->ldk + kv * s->D, s->ldk, b->dk, BLOCK, !first, keys, s->D);
    add_rows(b->a->dv + row * s->ldv + kv * s->D, s->ldv, b->dv, BLOCK, !first, keys, s->D);
}

/* The last head before this one that reads the same keys, or -1. */
static int earlier_head(const struct attention_shape *s, int head)
{
    int h = head - 1;
    while (h >= 0 && s->kv_of[h] != s->kv_of[head])
        h--;
    return h;
}

static void backward_item(struct backward_block *b, struct progress *progress, int64_t ticket, const struct walk *w,
                          int head, int64_t block)
{
    const struct attention_shape *s = b->a->s;
    const int64_t row = w->first + block * BLOCK, keys = min_i64(BLOCK, w->length - block * BLOCK);
    const int kv = s->kv_of[head], earlier = earlier_head(s, head);
    struct queries q;
    backward_load(b, kv, row, keys);
    for (int64_t i = block; i < w->blocks; i += q.n) {
        q = queries_at(w, head, i, block);
        backward_step(b, &q, w->before + i, i > block);
        if (block > 0)
            progress_wait(progress, ticket - 1, (uint64_t)(i + q.n));
        add_rows(b->a->dq + q.row * s->ldq + head * s->D, s->ldq, b->dq, q.n * BLOCK, block > 0, q.tokens, s->D);
        progress_set(progress, ticket, (uint64_t)(i + q.n));
    }
    if (earlier >= 0)
        progress_wait(progress, ticket - (head - earlier) * w->blocks, ALL_STEPS);
    store_keys(b, kv, row, keys, earlier < 0);
}

static void backward_items(struct backward_block *b, struct progress *progress, int64_t *next, struct walk w)
{
    int64_t ticket, block;
    int head;
    while (walk_to(&w, ticket = ticket_draw(next), &head, &block)) {
        progress_begin(progress, ticket);
        backward_item(b, progress, ticket, &w, head, block);
        progress_set(progress, ticket, ALL_STEPS);
    }
}

void KERNEL(attention_bf16_backward)(const struct block_bf16 *x, float *dq, float *dk, float *dv, float *delta,
                                     const float *dout, const float *q, const float *k, const float *v,
                                     const float *out, const float *lse, const struct attention_shape *s)
{
    ASSERT(s->D <= MOST_D);
    const struct backward a = {dq, dk, dv, delta, dout, q, k, v, out, lse, s};
    const struct packed packed = packed_of(s, s->H, BACKWARD_PACKS);
    const int before = omp_get_max_threads(), threads = attention_threads(s);
    omp_set_num_threads(1); /* as oneDNN must see it */
    for (int document = 0, end; document < s->documents; document = end) {
        struct progress progress = {{0}};
        int64_t packs = 0, next = 0;
        end = documents_that_fit(s, document, packed.blocks);
#pragma omp parallel num_threads(threads)
        {
            struct walk w = walk_init(s, s->H, document, end);
            int head;
            int64_t block;
            while (walk_to(&w, ticket_draw(&packs), &head, &block))
                pack_queries(&packed, &a, &w, head, block);
#pragma omp barrier
            struct backward_block b;
            b.x = x;
            b.thread = omp_get_thread_num();
            b.packed = &packed;
            b.a = &a;
            backward_items(&b, &progress, &next, walk_init(s, s->H, document, end));
        }
    }
    omp_set_num_threads(before);
}
