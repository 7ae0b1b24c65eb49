#include "kern/op_linear.h"

#include <math.h>

#include "base/assert.h"
#include "kern/convert_inline.h"
#include "kern/kernel.h"
#include "kern/simd.h"
#include "kern/threads.h"

enum {
    BLOCK = 1 << 14, /* of a long sum */
    BATCH = 64,      /* blocks whose partial sums are held at once */
    COLUMNS = 16     /* of db: what one thread sums over all rows */
};

static void add_chunk(float *y, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i];
}

void KERNEL(vector_add)(float *y, const float *x, int64_t n)
{
    KERN_FOR(c, kern_chunks(n), n, add_chunk(y + c * KERN_CHUNK, x + c * KERN_CHUNK, kern_chunk_size(c, n)));
}

static void axpy_chunk(float *y, float a, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

void KERNEL(vector_axpy)(float *y, float a, const float *x, int64_t n)
{
    KERN_FOR(c, kern_chunks(n), n, axpy_chunk(y + c * KERN_CHUNK, a, x + c * KERN_CHUNK, kern_chunk_size(c, n)));
}

static void scale_chunk(float *y, float a, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] *= a;
}

void KERNEL(vector_scale)(float *y, float a, int64_t n)
{
    KERN_FOR(c, kern_chunks(n), n, scale_chunk(y + c * KERN_CHUNK, a, kern_chunk_size(c, n)));
}

static void add_row(float *y, const float *a, const float *b, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

void KERNEL(rows_add)(float *y, int64_t ldy, const float *a, int64_t lda, const float *b, int64_t ldb, int64_t T,
                      int64_t N)
{
    KERN_FOR(t, T, T * N, add_row(y + t * ldy, a + t * lda, b + t * ldb, N));
}

static void scale_row(float *y, float a, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = a * x[i];
}

void KERNEL(rows_scale)(float *y, int64_t ldy, float a, const float *x, int64_t ldx, int64_t T, int64_t N)
{
    KERN_FOR(t, T, T * N, scale_row(y + t * ldy, a, x + t * ldx, N));
}

static void round_chunk(float *y, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = bf16_rounded(y[i]);
}

void KERNEL(vector_round)(float *y, int64_t n)
{
    KERN_FOR(c, kern_chunks(n), n, round_chunk(y + c * KERN_CHUNK, kern_chunk_size(c, n)));
}

double KERNEL(vector_sum)(const float *x, int64_t n)
{
    double s = 0;
#pragma omp simd reduction(+ : s)
    for (int64_t i = 0; i < n; i++)
        s += (double)x[i];
    return s;
}

double KERNEL(vector_dot)(const float *x, const float *y, int64_t n)
{
    double s = 0;
#pragma omp simd reduction(+ : s)
    for (int64_t i = 0; i < n; i++)
        s += (double)x[i] * (double)y[i];
    return s;
}

static double block_sum_squares(const float *x, int64_t n)
{
    double s = 0;
#pragma omp simd reduction(+ : s)
    for (int64_t i = 0; i < n; i++)
        s += (double)x[i] * (double)x[i];
    return s;
}

double KERNEL(vector_sum_squares)(const float *x, int64_t n)
{
    double sum = 0, part[BATCH];
    for (int64_t first = 0; first < n; first += (int64_t)BATCH * BLOCK) {
        const int64_t left = n - first, blocks = left < (int64_t)BATCH * BLOCK ? (left + BLOCK - 1) / BLOCK : BATCH;
        KERN_FOR(b, blocks, blocks * BLOCK,
                 part[b] =
                     block_sum_squares(x + first + b * BLOCK, left - b * BLOCK < BLOCK ? left - b * BLOCK : BLOCK));
        for (int64_t b = 0; b < blocks; b++)
            sum += part[b];
    }
    return sum;
}

static int64_t chunk_not_finite(const float *x, int64_t n)
{
    int64_t count = 0;
#pragma omp simd reduction(+ : count)
    for (int64_t i = 0; i < n; i++)
        count += (bits_of_float(x[i]) & 0x7F800000u) == 0x7F800000u;
    return count;
}

int64_t KERNEL(vector_count_not_finite)(const float *x, int64_t n)
{
    int64_t count = 0;
    /* an integer: the order in which threads add to it is free */
    KERN_FOR(c, kern_chunks(n), n,
             __atomic_fetch_add(&count, chunk_not_finite(x + c * KERN_CHUNK, kern_chunk_size(c, n)), __ATOMIC_RELAXED));
    return count;
}

/* --- biases --- */

void KERNEL(bias_forward)(float *y, int64_t ldy, const float *b, int64_t T, int64_t N)
{
    KERN_FOR(t, T, T * N, add_chunk(y + t * ldy, b, N));
}

/* COLUMNS columns from first on, all rows. */
static void sum_columns(float *db, const float *dy, int64_t lddy, int64_t T, int64_t N, int64_t first)
{
    float sum[COLUMNS] = {0};
    const int64_t n = N - first < COLUMNS ? N - first : COLUMNS;
    for (int64_t t = 0; t < T; t++)
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            sum[i] += dy[t * lddy + first + i];
    for (int64_t i = 0; i < n; i++)
        db[first + i] += sum[i];
}

void KERNEL(bias_backward)(float *db, const float *dy, int64_t lddy, int64_t T, int64_t N)
{
    KERN_FOR(c, (N + COLUMNS - 1) / COLUMNS, T * N, sum_columns(db, dy, lddy, T, N, c * COLUMNS));
}

/* --- dropout --- */

enum {
    DRAW = 32, /* Philox blocks drawn at once: 4 features each */
    WORK = 8   /* of one element, in additions; AdamW's, too */
};

/* number[4 * b ..] = rng_philox(key, lo, hi + b), ten rounds in every lane. Written again here because base/rng.h makes
 * one block at a time; a test holds the two together. */
static void draw_blocks(uint32_t *number, uint64_t key, uint64_t lo, uint64_t hi, int64_t blocks)
{
#pragma omp simd
    for (int64_t b = 0; b < blocks; b++) {
        const uint64_t at = hi + (uint64_t)b;
        uint32_t c0 = (uint32_t)lo, c1 = (uint32_t)(lo >> 32), c2 = (uint32_t)at, c3 = (uint32_t)(at >> 32);
        uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
        UNROLL
        for (int round = 0; round < 10; round++) {
            const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
            c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
            c1 = (uint32_t)p1;
            c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
            c3 = (uint32_t)p0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        number[4 * b] = c0;
        number[4 * b + 1] = c1;
        number[4 * b + 2] = c2;
        number[4 * b + 3] = c3;
    }
}

/* Feature f of a row has lane f % 4 of block (place, stream << 32 | f / 4). */
static void drop_row(float *y, const float *x, uint32_t threshold, float scale, uint64_t key, uint64_t stream,
                     uint64_t place, int64_t first, int64_t D)
{
    uint32_t number[4 * DRAW];
    const int64_t end = first + D;
    for (int64_t f = first; f < end;) {
        const int64_t skip = f % 4, left = skip + end - f;
        const int64_t blocks = left < 4 * DRAW ? (left + 3) / 4 : DRAW, n = (left < 4 * DRAW ? left : 4 * DRAW) - skip;
        draw_blocks(number, key, place, stream << 32 | (uint64_t)(f / 4), blocks);
        float *yf = y + (f - first);
        const float *xf = x + (f - first);
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            yf[i] = number[skip + i] < threshold ? 0.0f : xf[i] * scale;
        f += n;
    }
}

void KERNEL(dropout_apply)(float *y, int64_t ldy, const float *x, int64_t ldx, float p, uint64_t key, uint64_t stream,
                           const uint64_t *place, int64_t first_feature, int64_t T, int64_t D)
{
    ASSERT(p >= 0 && p < 1 && stream >> 32 == 0);
    const uint32_t threshold = (uint32_t)((double)p * 0x1p32);
    const float scale = (float)(1 / (1 - (double)p));
    KERN_FOR(t, T, T * D * WORK,
             drop_row(y + t * ldy, x + t * ldx, threshold, scale, key, stream, place[t], first_feature, D));
}

/* --- AdamW --- */

/* What a step does to every element. */
struct adamw_step {
    float decay, clip, b1, c1, b2, c2, rate, root, eps;
};

static void adamw_chunk(float *w, float *m, float *v, const float *g, int64_t n, struct adamw_step s)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float gi = g[i] * s.clip;
        const float mi = s.b1 * m[i] + s.c1 * gi, vi = s.b2 * v[i] + s.c2 * (gi * gi);
        w[i] = w[i] * s.decay - s.rate * mi / (sqrtf(vi) * s.root + s.eps);
        m[i] = mi;
        v[i] = vi;
    }
}

void KERNEL(adamw_update)(float *w, float *m, float *v, const float *g, int64_t n, const struct adamw *a)
{
    const struct adamw_step s = {
        .decay = (float)(1 - a->learning_rate * a->weight_decay),
        .clip = a->scale,
        .b1 = (float)a->beta1,
        .c1 = (float)(1 - a->beta1),
        .b2 = (float)a->beta2,
        .c2 = (float)(1 - a->beta2),
        .rate = (float)(a->learning_rate / (1 - pow(a->beta1, (double)a->step))),
        .root = (float)(1 / sqrt(1 - pow(a->beta2, (double)a->step))),
        .eps = (float)a->eps,
    };
    KERN_FOR(c, kern_chunks(n), n * WORK,
             adamw_chunk(w + c * KERN_CHUNK, m + c * KERN_CHUNK, v + c * KERN_CHUNK, g + c * KERN_CHUNK,
                         kern_chunk_size(c, n), s));
}

#ifdef KERN_ONCE

void adamw_update_ref(float *w, float *m, float *v, const float *g, int64_t n, const struct adamw *a)
{
    for (int64_t i = 0; i < n; i++) {
        const double gi = (double)g[i] * a->scale;
        const double mi = a->beta1 * m[i] + (1 - a->beta1) * gi, vi = a->beta2 * v[i] + (1 - a->beta2) * gi * gi;
        const double m_hat = mi / (1 - pow(a->beta1, (double)a->step));
        const double v_hat = vi / (1 - pow(a->beta2, (double)a->step));
        w[i] = (float)(w[i] * (1 - a->learning_rate * a->weight_decay) -
                       a->learning_rate * m_hat / (sqrt(v_hat) + a->eps));
        m[i] = (float)mi;
        v[i] = (float)vi;
    }
}

#endif
