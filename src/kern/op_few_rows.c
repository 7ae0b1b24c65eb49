#include "kern/op_few_rows.h"

#include "base/integer.h"
#include "kern/kernel.h"
#include "kern/simd.h"
#include "kern/threads.h"

/* Vectors in flight, so that the sums do not wait for each other; rows of the weight that a thread takes at a time. */
enum { CHAINS = 4, STEP = CHAINS * VECTOR, ROWS = 16 };

typedef uint16_t halves __attribute__((vector_size(2 * VECTOR), aligned(2), may_alias));
typedef uint32_t words __attribute__((vector_size(4 * VECTOR)));

static inline __attribute__((always_inline)) vector load(const void *row, bool bf16, int64_t k)
{
    if (!bf16)
        return *(const vector *)((const float *)row + k);
    return (vector)(__builtin_convertvector(*(const halves *)((const uint16_t *)row + k), words) << 16);
}

static inline __attribute__((always_inline)) float element(const void *row, bool bf16, int64_t k)
{
    return bf16 ? float_of_bits((uint32_t)((const uint16_t *)row)[k] << 16) : ((const float *)row)[k];
}

static inline __attribute__((always_inline)) void dot(const int M, float *sums, const float *x, int64_t ldx,
                                                      const void *row, bool bf16, int64_t K)
{
    vector sum[FEW_ROWS][CHAINS] = {0};
    int64_t k = 0;
    for (; k + STEP <= K; k += STEP)
        UNROLL
    for (int v = 0; v < CHAINS; v++) {
        const vector w = load(row, bf16, k + v * VECTOR);
        UNROLL
        for (int m = 0; m < M; m++)
            sum[m][v] += *(const vector *)(x + m * ldx + k + v * VECTOR) * w;
    }
    for (int m = 0; m < M; m++) {
        const vector all = (sum[m][0] + sum[m][1]) + (sum[m][2] + sum[m][3]);
        sums[m] = 0;
        for (int i = 0; i < VECTOR; i++)
            sums[m] += all[i];
        for (int64_t j = k; j < K; j++)
            sums[m] += x[m * ldx + j] * element(row, bf16, j);
    }
}

static inline __attribute__((always_inline)) void some_rows(const int M, const struct product *p, const float *x,
                                                            int64_t ldx, bool bf16, int64_t first)
{
    float sums[FEW_ROWS];
    for (int64_t n = first; n < min_i64(first + ROWS, p->N); n++) {
        dot(M, sums, x, ldx, operand_at(&p->b, n, 0), bf16, p->K);
        for (int m = 0; m < M; m++)
            p->c[m * p->ldc + n] = sums[m] + (p->accumulate ? p->c[m * p->ldc + n] : 0);
    }
}

/* The same for every number of rows and both types, each with loops of its own. */
static void rows_of(const struct product *p, const float *x, int64_t ldx, int64_t first)
{
    const bool bf16 = p->b.dtype == DTYPE_BF16;
    switch (p->M * 2 + bf16) {
    case 2:
        return some_rows(1, p, x, ldx, false, first);
    case 3:
        return some_rows(1, p, x, ldx, true, first);
    case 4:
        return some_rows(2, p, x, ldx, false, first);
    case 5:
        return some_rows(2, p, x, ldx, true, first);
    case 6:
        return some_rows(3, p, x, ldx, false, first);
    case 7:
        return some_rows(3, p, x, ldx, true, first);
    default:
        return bf16 ? some_rows(4, p, x, ldx, true, first) : some_rows(4, p, x, ldx, false, first);
    }
}

void KERNEL(few_rows_multiply)(const struct product *p, const float *x, int64_t ldx)
{
    KERN_FOR(i, ceil_div(p->N, ROWS), p->M * p->N * p->K, rows_of(p, x, ldx, i * ROWS));
}
