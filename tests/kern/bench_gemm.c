/* bench_gemm M N K [repetitions]: GFLOP/s of the GEMM door's three products (f32 and bf16), of OpenBLAS alone and of
 * oneDNN in f32, on 1 and 2 threads. Not a test: for notes on what the door costs. Best of the repetitions. */
#include <cblas.h>
#include <dnnl.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kern/gemm.h"
#include "kern/isa.h"
#include "kern/quant.h"

struct bench {
    int64_t M, N, K;
    float *x, *y, *w;
    uint16_t *w_bf16;
};

static struct matrix weights(const struct bench *b, enum dtype dtype)
{
    return (struct matrix){dtype == DTYPE_F32 ? (void *)b->w : b->w_bf16, dtype, b->N, b->K};
}

static void openblas(struct bench *b)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)b->M, (blasint)b->N, (blasint)b->K, 1, b->x,
                (blasint)b->K, b->w, (blasint)b->K, 0, b->y, (blasint)b->N);
}

static void onednn(struct bench *b)
{
    dnnl_sgemm('N', 'T', b->M, b->N, b->K, 1, b->x, b->K, b->w, b->K, 0, b->y, b->N);
}

static void forward_f32(struct bench *b)
{
    gemm_forward(PRECISION_F32, b->y, b->N, b->x, b->K, weights(b, DTYPE_F32), b->M, false);
}

static void forward_bf16(struct bench *b)
{
    gemm_forward(PRECISION_BF16, b->y, b->N, b->x, b->K, weights(b, DTYPE_BF16), b->M, false);
}

static void input_f32(struct bench *b)
{
    gemm_backward_input(PRECISION_F32, b->x, b->K, b->y, b->N, weights(b, DTYPE_F32), b->M, false);
}

static void input_bf16(struct bench *b)
{
    gemm_backward_input(PRECISION_BF16, b->x, b->K, b->y, b->N, weights(b, DTYPE_BF16), b->M, false);
}

static void weight_f32(struct bench *b)
{
    gemm_backward_weight(PRECISION_F32, b->w, b->K, b->y, b->N, b->x, b->K, b->N, b->K, b->M);
}

static void weight_bf16(struct bench *b)
{
    gemm_backward_weight(PRECISION_BF16, b->w, b->K, b->y, b->N, b->x, b->K, b->N, b->K, b->M);
}

static const struct {
    const char *name;
    void (*run)(struct bench *b);
} ways[] = {
    {"OpenBLAS, x w^T", openblas},      {"oneDNN f32, x w^T", onednn},      {"door f32, x w^T", forward_f32},
    {"door bf16, x w^T", forward_bf16}, {"door f32, dy w", input_f32},      {"door bf16, dy w", input_bf16},
    {"door f32, dy^T x", weight_f32},   {"door bf16, dy^T x", weight_bf16},
};

/* Small values, or repeated sums into x and w would leave the range of f32. */
static void fill(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = ((float)(i * 7919 % 2003) / 1001.5f - 1) * 1e-3f;
}

static double best_seconds(struct bench *b, void (*run)(struct bench *), int repetitions)
{
    double best = 1e30;
    for (int i = 0; i < repetitions; i++) {
        fill(b->y, b->M * b->N);
        const double start = clock_seconds();
        run(b);
        const double seconds = clock_seconds() - start;
        best = seconds < best ? seconds : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: bench_gemm M N K [repetitions]\n");
        return 2;
    }
    struct bench b = {.M = atol(argv[1]), .N = atol(argv[2]), .K = atol(argv[3])};
    const int repetitions = argc > 4 ? atoi(argv[4]) : 5;
    b.x = mem_array((size_t)(b.M * b.K), sizeof *b.x);
    b.y = mem_array((size_t)(b.M * b.N), sizeof *b.y);
    b.w = mem_array((size_t)(b.N * b.K), sizeof *b.w);
    b.w_bf16 = mem_array((size_t)(b.N * b.K), sizeof *b.w_bf16);
    fill(b.x, b.M * b.K);
    fill(b.w, b.N * b.K);
    convert_f32_to_bf16(b.w_bf16, b.w, b.N * b.K);
    printf("%ld x %ld x %ld, %s, GFLOP/s on 1 and 2 threads\n", (long)b.M, (long)b.N, (long)b.K, isa_name(isa_used()));
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        printf("%-20s", ways[i].name);
        for (int threads = 1; threads <= 2; threads++) {
            struct err e = {0};
            if (gemm_start(threads, &e)) {
                fprintf(stderr, "%s\n", e.text);
                return 4;
            }
            printf("%8.1f", 2e-9 * (double)(b.M * b.N * b.K) / best_seconds(&b, ways[i].run, repetitions));
        }
        printf("\n");
    }
    gemm_stop();
    mem_free(b.x);
    mem_free(b.y);
    mem_free(b.w);
    mem_free(b.w_bf16);
    return 0;
}
