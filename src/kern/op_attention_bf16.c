#include <math.h>
#include <omp.h>

#include "base/assert.h"
#include "kern/attention_items.h"
#include "kern/convert_inline.h"
#include "kern/kernel.h"

/* All operands are cut into blocks of 64 tokens by 64 values of a head (narrower heads are padded with zeros) and
 * packed as block_bf16.h takes them: what several items read (keys and values forward; queries and dout backward) once,
 * before the items begin, the rest by each item. Blocks begin with the document, so a document's results do not depend
 * on where it is packed; documents are taken together as far as the scratch reaches. */
_Static_assert((int)BLOCK == (int)BLOCK_EDGE, "an item is a row of blocks");
enum { ROW = BLOCKS_IN_ROW * BLOCK, SLICES = MOST_D / BLOCK, FORWARD_PACKS = 2, BACKWARD_PACKS = 4 };

static int slices_of(int D)
{
    return (D + BLOCK - 1) / BLOCK;
}

/* --- scratch --- */

static size_t bytes_a_block(int heads, int packs, int D)
{
    return (size_t)heads * packs * slices_of(D) * BLOCK_SIZE * sizeof(uint16_t);
}

#ifdef KERN_ONCE
/* A document as long as all tokens fits, and a fourth more, since the last block of each document is padded. */
size_t attention_bf16_scratch(int64_t T, int H, int K, int D, bool backward)
{
    const int64_t blocks = ceil_div(T, BLOCK) + T / BLOCK / 4;
    const size_t forward = bytes_a_block(K, FORWARD_PACKS, D), back = bytes_a_block(H, BACKWARD_PACKS, D);
    return (size_t)blocks * (backward && back > forward ? back : forward);
}
#endif

/* Operands packed for all items, each [head][slice][block] of BLOCK_SIZE. */
struct packed {
    uint16_t *of[BACKWARD_PACKS];
    int64_t blocks; /* there is room for */
};

static struct packed packed_of(const struct attention_shape *s, int heads, int packs)
{
    struct packed p = {.blocks = (int64_t)(s->scratch_size / bytes_a_block(heads, packs, s->D))};
    for (int i = 0; i < packs; i++)
        p.of[i] = (uint16_t *)s->scratch + (size_t)i * heads * slices_of(s->D) * p.blocks * BLOCK_SIZE;
    return p;
}

static uint16_t *block_at(const struct packed *p, int operand, const struct attention_shape *s, int head, int slice,
                          int64_t block)
{
    return p->of[operand] + (((int64_t)head * slices_of(s->D) + slice) * p->blocks + block) * BLOCK_SIZE;
}

/* The document behind the last one that fits beside `first`. */
static int documents_that_fit(const struct attention_shape *s, int first, int64_t room)
{
    int end = first;
    for (; end < s->documents; end++) {
        room -= ceil_div(s->start[end + 1] - s->start[end], BLOCK);
        if (room < 0)
            break;
    }
    ASSERT(end > first);
    return end;
}

/* --- packing one block --- */

/* [tokens, BLOCK values from d] of a head's rows x. */
struct source {
    const float *x;
    int64_t ld, tokens;
    int d, width;
};

static struct source source_of(const float *x, int64_t ld, int64_t tokens, int slice, int D)
{
    return (struct source){x, ld, tokens, slice * BLOCK, (int)min_i64(BLOCK, D - slice * BLOCK)};
}

/* Right sides: sums run over the values of a head, the columns are tokens; */
static void pack_over_values(uint16_t *to, struct source f)
{
    const struct operand o = {.data = f.x, .dtype = DTYPE_F32, .ld = f.ld};
    KERNEL(panel_pack_right)(to, DTYPE_BF16, BLOCK, BLOCK, &o, &(struct pack_part){0, f.tokens, f.d, f.width});
}

/* or the other way round. */
static void pack_over_tokens(uint16_t *to, struct source f)
{
    const struct operand o = {.data = f.x, .dtype = DTYPE_F32, .ld = f.ld, .by_inner = true};
    KERNEL(panel_pack_right)(to, DTYPE_BF16, BLOCK, BLOCK, &o, &(struct pack_part){f.d, f.width, 0, f.tokens});
}

/* Left sides: rows are tokens. */
static void pack_rows(uint16_t *to, struct source f)
{
    const struct operand o = {.data = f.x, .dtype = DTYPE_F32, .ld = f.ld};
    KERNEL(panel_pack_left)(to, DTYPE_BF16, BLOCK, BLOCK, &o, &(struct pack_part){0, f.tokens, f.d, f.width});
}

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

/* --- forward --- */

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
        lse[head * s->T + row + i] = f->max[i] * s->scale + logf(f->sum[i]);
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
                forward_item(&f, out, lse, q, &w, head, block);
        }
    }
    omp_set_num_threads(before);
}

/* --- backward --- */

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
    memcpy(b->lse, b->a->lse + q->head * s->T + q->row, bytes);
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

/* n blocks of queries become the rows. */
static void turn_ds(struct backward_block *b, int64_t n)
{
    const struct operand o = {.data = b->ds, .dtype = DTYPE_BF16, .ld = n * BLOCK, .by_inner = true};
    for (int64_t i = 0; i < n; i++)
        KERNEL(panel_pack_left)
    (b->ds_rows + i * BLOCK_SIZE, DTYPE_BF16, BLOCK, BLOCK, &o, &(struct pack_part){i * BLOCK, BLOCK, 0, BLOCK});
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
    turn_ds(b, q->n);
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
