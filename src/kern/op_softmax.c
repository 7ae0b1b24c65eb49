#include "kern/op_softmax.h"

#include "kern/kernel.h"
#include "kern/simd.h"
#include "kern/threads.h"

enum {
    BLOCK = 512, /* of a row, through a buffer in L1; whole words of the bit set */
    WORK = 8     /* one exp costs about as much as so many additions */
};

/* x[i] = z[i] * scale, -INFINITY where bit i of word is not set; n <= 64. Lane masks instead of shifts: every ISA has
 * them. */
static void load_word(float *x, const float *z, float scale, uint64_t word, int64_t n)
{
    uint32_t bit[32];
    for (int i = 0; i < 32; i++)
        bit[i] = UINT32_C(1) << i;
    for (int64_t j = 0; j < n; j += 32) {
        const uint32_t half = (uint32_t)(word >> j);
        const int64_t m = n - j < 32 ? n - j : 32;
#pragma omp simd
        for (int64_t i = 0; i < m; i++)
            x[j + i] = half & bit[i] ? z[j + i] * scale : -INFINITY;
    }
}

/* n <= BLOCK scaled values of a row from j on (a multiple of 64), those not allowed as -INFINITY. */
static void load_block(float *x, const float *z, float scale, const uint64_t *allowed, int64_t j, int64_t n)
{
    if (!allowed) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            x[i] = z[j + i] * scale;
        return;
    }
    for (int64_t i = 0; i < n; i += 64)
        load_word(x + i, z + j + i, scale, allowed[(j + i) / 64], n - i < 64 ? n - i : 64);
}

static int64_t block_size(int64_t j, int64_t V)
{
    return V - j < BLOCK ? V - j : BLOCK;
}

static float row_max(const float *z, float scale, const uint64_t *allowed, int64_t V)
{
    float x[BLOCK], max = -INFINITY;
    for (int64_t j = 0; j < V; j += BLOCK) {
        const int64_t n = block_size(j, V);
        load_block(x, z, scale, allowed, j, n);
#pragma omp simd reduction(max : max)
        for (int64_t i = 0; i < n; i++)
            max = x[i] > max ? x[i] : max;
    }
    return max;
}

void KERNEL(softmax_max)(float *max, const float *z, int64_t ld, float scale, const uint64_t *allowed, int64_t T,
                         int64_t V)
{
    KERN_FOR(t, T, T * V, max[t] = row_max(z + t * ld, scale, allowed, V));
}

/* What is subtracted before exp(): a row without an allowed value has no maximum, and all of its exponentials are 0. */
static float shift_of(float max)
{
    return max == -INFINITY ? 0 : max;
}

static float row_sum(const float *z, float scale, float shift, const uint64_t *allowed, int64_t V)
{
    float x[BLOCK];
    double sum = 0; /* over blocks: 150,000 small terms added to one f32 would lose the last digits */
    for (int64_t j = 0; j < V; j += BLOCK) {
        const int64_t n = block_size(j, V);
        float s = 0;
        load_block(x, z, scale, allowed, j, n);
#pragma omp simd reduction(+ : s)
        for (int64_t i = 0; i < n; i++)
            s += exp_nonpositive(x[i] - shift);
        sum += (double)s;
    }
    return (float)sum;
}

void KERNEL(softmax_sum)(float *sum, const float *z, int64_t ld, float scale, const float *max, const uint64_t *allowed,
                         int64_t T, int64_t V)
{
    KERN_FOR(t, T, T * V * WORK, sum[t] = row_sum(z + t * ld, scale, shift_of(max[t]), allowed, V));
}

static void row_probabilities(float *p, const float *z, float scale, float shift, const uint64_t *allowed, int64_t V)
{
    float x[BLOCK];
    for (int64_t j = 0; j < V; j += BLOCK) {
        const int64_t n = block_size(j, V);
        load_block(x, z, scale, allowed, j, n);
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            p[j + i] = exp_one(x[i] - shift);
    }
}

void KERNEL(softmax_probabilities)(float *p, int64_t ldp, const float *z, int64_t ld, float scale, const float *lse,
                                   const uint64_t *allowed, int64_t T, int64_t V)
{
    KERN_FOR(t, T, T * V * WORK, row_probabilities(p + t * ldp, z + t * ld, scale, shift_of(lse[t]), allowed, V));
}

static void exp_chunk(float *y, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = exp_one(x[i]);
}

void KERNEL(vector_exp)(float *y, const float *x, int64_t n)
{
    KERN_FOR(c, kern_chunks(n), n * WORK, exp_chunk(y + c * KERN_CHUNK, x + c * KERN_CHUNK, kern_chunk_size(c, n)));
}
