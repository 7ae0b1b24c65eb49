#include "kern/ceiling.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kern/dnnl_ceiling.h"

/* Enough runs that one is undisturbed; no more than a large shape can afford. */
enum { TRIES_MIN = 3, TRIES_MAX = 20 };
static const double seconds_enough = 0.3;

struct trial {
    struct dnnl_trial *dnnl; /* or, where NULL, OpenBLAS on: */
    enum gemm_kind kind;
    blasint M, N, K;
    float *a, *b, *c;
};

static void sgemm(const struct trial *t)
{
    const bool a_across = t->kind != GEMM_BACKWARD_WEIGHT, b_across = t->kind == GEMM_FORWARD;
    const int before = omp_get_max_threads();
    omp_set_num_threads(gemm_threads()); /* an OpenBLAS made for OpenMP takes as many */
    cblas_sgemm(CblasRowMajor, a_across ? CblasNoTrans : CblasTrans, b_across ? CblasTrans : CblasNoTrans, t->M, t->N,
                t->K, 1, t->a, a_across ? t->K : t->M, t->b, b_across ? t->K : t->N, 0, t->c, t->N);
    omp_set_num_threads(before);
}

static double best_of(const struct trial *t)
{
    double best = INFINITY, sum = 0;
    for (int i = 0; i < TRIES_MAX && (i < TRIES_MIN || sum < seconds_enough); i++) {
        const double began = clock_seconds();
        if (t->dnnl)
            dnnl_trial_run(t->dnnl);
        else
            sgemm(t);
        const double seconds = clock_seconds() - began;
        best = fmin(best, seconds);
        sum += seconds;
    }
    return best;
}

static double best_of_dnnl(enum gemm_kind kind, enum dtype dtype, int64_t M, int64_t N, int64_t K)
{
    struct err refusal = {0};
    const struct dnnl_trial_shape shape = {kind, dtype, M, N, K};
    struct trial t = {.dnnl = dnnl_trial_new(&shape, gemm_threads(), &refusal)};
    const double best = t.dnnl ? best_of(&t) : INFINITY; /* it may not know the type: then OpenBLAS alone counts */
    dnnl_trial_free(t.dnnl);
    return best;
}

static size_t bytes(int64_t a, int64_t b)
{
    return (size_t)(a * b) * sizeof(float);
}

static void fill(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = 0.01f;
}

static int best_of_openblas(enum gemm_kind kind, int64_t M, int64_t N, int64_t K, double *best, struct err *e)
{
    struct trial t = {.kind = kind, .M = (blasint)M, .N = (blasint)N, .K = (blasint)K};
    t.a = mem_try(bytes(M, K));
    t.b = mem_try(bytes(K, N));
    t.c = mem_try(bytes(M, N));
    const bool ok = t.a && t.b && t.c;
    if (ok) {
        fill(t.a, M * K);
        fill(t.b, K * N);
        *best = best_of(&t);
    }
    if (t.a)
        mem_free_large(t.a, bytes(M, K));
    if (t.b)
        mem_free_large(t.b, bytes(K, N));
    if (t.c)
        mem_free_large(t.c, bytes(M, N));
    return ok ? 0
              : err_set(e, ERR_ENVIRONMENT, "no memory for a product of %lld x %lld x %lld", (long long)M, (long long)N,
                        (long long)K);
}

int ceiling_measure(enum gemm_kind kind, enum precision precision, int64_t M, int64_t N, int64_t K, double *seconds,
                    struct err *e)
{
    if (precision == PRECISION_BF16 && gemm_multiplies_bf16()) {
        *seconds = best_of_dnnl(kind, DTYPE_BF16, M, N, K);
        return 0;
    }
    double openblas = INFINITY;
    if (best_of_openblas(kind, M, N, K, &openblas, e))
        return -1;
    *seconds = fmin(openblas, best_of_dnnl(kind, DTYPE_F32, M, N, K));
    return 0;
}
