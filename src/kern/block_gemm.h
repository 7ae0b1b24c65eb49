/* Products of small blocks, in registers: what attention is made of. Private to the kernels.
 *
 *     c[i,j] (+)= sum_k a[i,k] b[k,j]
 *
 * The lanes of a vector run along j. a is read one element at a time, at a + i * ai + k * ak, so either order of its
 * indices will do; b and c are scratch of the caller, rows of COLUMNS-multiples. Sums run in the order of k. */
#ifndef RETORT_KERN_BLOCK_GEMM_H
#define RETORT_KERN_BLOCK_GEMM_H

#include <stdbool.h>

#include "kern/simd.h"

/* Rows and vectors of one register tile: as many accumulators as hide the latency of an FMA and leave room for b. */
#if VECTOR == 16
enum { TILE_ROWS = 12, TILE_VECTORS = 2 };
#else
enum { TILE_ROWS = 6, TILE_VECTORS = 2 };
#endif
enum { COLUMNS = TILE_VECTORS * VECTOR };

static inline __attribute__((always_inline)) void tile_gemm(const int rows, float *c, int64_t ldc, const float *a,
                                                            int64_t ai, int64_t ak, const float *b, int64_t ldb,
                                                            int64_t K, bool accumulate)
{
    vector sum[TILE_ROWS][TILE_VECTORS];
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
    for (int v = 0; v < TILE_VECTORS; v++)
        sum[i][v] = accumulate ? *(const vector *)(c + i * ldc + v * VECTOR) : (vector){0};
    for (int64_t k = 0; k < K; k++, a += ak, b += ldb) {
        vector row[TILE_VECTORS];
        UNROLL
        for (int v = 0; v < TILE_VECTORS; v++)
            row[v] = *(const vector *)(b + v * VECTOR);
        UNROLL
        for (int i = 0; i < rows; i++)
            UNROLL
        for (int v = 0; v < TILE_VECTORS; v++)
            sum[i][v] += a[i * ai] * row[v];
    }
    UNROLL
    for (int i = 0; i < rows; i++)
        UNROLL
    for (int v = 0; v < TILE_VECTORS; v++)
        *(vector *)(c + i * ldc + v * VECTOR) = sum[i][v];
}

/* c[M,N] from a[M,K] and b[K,N]. N is rounded up to COLUMNS: b and c must have room for that. */
static void block_gemm(float *c, int64_t ldc, const float *a, int64_t ai, int64_t ak, const float *b, int64_t ldb,
                       int64_t M, int64_t N, int64_t K, bool accumulate)
{
    for (int64_t j = 0; j < N; j += COLUMNS) {
        int64_t i = 0;
        for (; i + TILE_ROWS <= M; i += TILE_ROWS)
            tile_gemm(TILE_ROWS, c + i * ldc + j, ldc, a + i * ai, ai, ak, b + j, ldb, K, accumulate);
        for (; i + 4 <= M; i += 4)
            tile_gemm(4, c + i * ldc + j, ldc, a + i * ai, ai, ak, b + j, ldb, K, accumulate);
        for (; i < M; i++)
            tile_gemm(1, c + i * ldc + j, ldc, a + i * ai, ai, ak, b + j, ldb, K, accumulate);
    }
}

#endif
