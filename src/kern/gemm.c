#include "kern/gemm.h"

#include <cblas.h>
#include <limits.h>
#include <omp.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"
#include "kern/panel.h"
#include "kern/threads.h"

/* Tiles of a result, and how much of the inner dimension a panel holds: two panels of 512 KiB a thread, which stay in
 * its L2 cache while sgemm reads them. */
enum { TILE = 256, PANEL_K = 512 };

static struct {
    int threads;
    float *panels; /* [threads][2][TILE * PANEL_K] */
} gate = {.threads = 1};

static size_t panels_size(int threads)
{
    return (size_t)threads * 2 * TILE * PANEL_K * sizeof(float);
}

int gemm_start(int threads, struct err *e)
{
    gemm_stop();
    threads = threads < 1 ? 1 : threads;
    gate.panels = mem_try(panels_size(threads));
    if (!gate.panels)
        return err_set(e, ERR_ENVIRONMENT, "no memory for the GEMM workspaces of %d threads (%zu bytes): lower ranks.threads",
                       threads, panels_size(threads));
    gate.threads = threads;
    omp_set_num_threads(threads);
    return 0;
}

int gemm_threads(void)
{
    return gate.threads;
}

void gemm_stop(void)
{
    if (gate.panels)
        mem_free_large(gate.panels, panels_size(gate.threads));
    gate.panels = NULL;
    gate.threads = 1;
}

/* --- one product -------------------------------------------------------------------------------------------------------------- */

/* An operand as it lies in memory. Outer: the index of the result's row (a) or column (b); inner: that of the sum.
 * by_inner: rows in memory run over inner, so that outer is contiguous. */
struct operand {
    const void *data;
    enum dtype dtype;
    int64_t ld;
    bool by_inner;
};

/* c[M,N] (+)= sum over K of a[M,K] b[K,N] */
struct product {
    float *c;
    int64_t ldc;
    struct operand a, b;
    int64_t M, N, K;
    bool accumulate, round;
};

static const void *element(const struct operand *o, int64_t outer, int64_t inner)
{
    int64_t i = o->by_inner ? inner * o->ld + outer : outer * o->ld + inner;
    return o->dtype == DTYPE_BF16 ? (const void *)((const uint16_t *)o->data + i) : (const float *)o->data + i;
}

/* Whether sgemm may read the operand where it lies. */
static bool is_direct(const struct product *p, const struct operand *o)
{
    return o->dtype == DTYPE_F32 && !p->round;
}

/* The rectangle [outer, inner] of the operand for sgemm: in place, or copied into the workspace. */
static const float *rectangle(const struct product *p, const struct operand *o, float *panel, int64_t outer0,
                              int64_t inner0, int64_t outer, int64_t inner, int64_t *ld)
{
    const void *from = element(o, outer0, inner0);
    if (is_direct(p, o)) {
        *ld = o->ld;
        return from;
    }
    *ld = o->by_inner ? outer : inner;
    panel_to_f32(panel, from, o->dtype, o->ld, o->by_inner ? inner : outer, *ld, p->round);
    return panel;
}

static void tile_product(const struct product *p, float *panels, int64_t m0, int64_t n0, int64_t m, int64_t n)
{
    const bool direct = is_direct(p, &p->a) && is_direct(p, &p->b);
    const int64_t step = direct ? p->K : PANEL_K;
    for (int64_t k0 = 0; k0 < p->K; k0 += step) {
        const int64_t k = p->K - k0 < step ? p->K - k0 : step;
        int64_t lda, ldb;
        const float *a = rectangle(p, &p->a, panels, m0, k0, m, k, &lda);
        const float *b = rectangle(p, &p->b, panels + TILE * PANEL_K, n0, k0, n, k, &ldb);
        cblas_sgemm(CblasRowMajor, p->a.by_inner ? CblasTrans : CblasNoTrans, p->b.by_inner ? CblasNoTrans : CblasTrans,
                    (blasint)m, (blasint)n, (blasint)k, 1, a, (blasint)lda, b, (blasint)ldb,
                    p->accumulate || k0 > 0 ? 1 : 0, p->c + m0 * p->ldc + n0, (blasint)p->ldc);
    }
}

/* n cut into the fewest equal pieces of at most TILE, each a multiple of 16 but the last. */
static int64_t tile_size(int64_t n)
{
    const int64_t pieces = (n + TILE - 1) / TILE;
    return ((n + pieces - 1) / pieces + 15) / 16 * 16;
}

static void run(const struct product *p)
{
    ASSERT(gate.panels && !omp_in_parallel());
    ASSERT(p->a.ld <= INT_MAX && p->b.ld <= INT_MAX && p->ldc <= INT_MAX && p->K <= INT_MAX);
    if (p->M == 0 || p->N == 0)
        return;
    const int64_t tile_m = tile_size(p->M), tile_n = tile_size(p->N);
    const int64_t rows = (p->M + tile_m - 1) / tile_m, cols = (p->N + tile_n - 1) / tile_n;
    const int threads = kern_threads(p->M * p->N * p->K);
    /* OpenBLAS counts threads by itself outside of a parallel region that is in fact parallel */
    const int before = omp_get_max_threads();
    omp_set_num_threads(1);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t t = 0; t < rows * cols; t++) {
        const int64_t m0 = t % rows * tile_m, n0 = t / rows * tile_n;
        float *panels = gate.panels + (size_t)omp_get_thread_num() * 2 * TILE * PANEL_K;
        tile_product(p, panels, m0, n0, p->M - m0 < tile_m ? p->M - m0 : tile_m, p->N - n0 < tile_n ? p->N - n0 : tile_n);
    }
    omp_set_num_threads(before);
}

/* --- the door ----------------------------------------------------------------------------------------------------------------- */

static struct operand activations(const float *x, int64_t ld, bool by_inner)
{
    return (struct operand){.data = x, .dtype = DTYPE_F32, .ld = ld, .by_inner = by_inner};
}

static struct operand weights(struct matrix w, bool by_inner)
{
    ASSERT(w.dtype == DTYPE_F32 || w.dtype == DTYPE_BF16);
    return (struct operand){.data = w.data, .dtype = w.dtype, .ld = w.cols, .by_inner = by_inner};
}

static bool rounds(enum precision precision)
{
    ASSERT(precision == PRECISION_F32 || precision == PRECISION_BF16);
    return precision == PRECISION_BF16;
}

void gemm_forward(enum precision precision, float *y, int64_t ldy, const float *x, int64_t ldx, struct matrix w,
                  int64_t M, bool accumulate)
{
    run(&(struct product){
        .c = y,
        .ldc = ldy,
        .a = activations(x, ldx, false),
        .b = weights(w, false),
        .M = M,
        .N = w.rows,
        .K = w.cols,
        .accumulate = accumulate,
        .round = rounds(precision),
    });
}

void gemm_backward_input(enum precision precision, float *dx, int64_t ldx, const float *dy, int64_t ldy,
                         struct matrix w, int64_t M, bool accumulate)
{
    run(&(struct product){
        .c = dx,
        .ldc = ldx,
        .a = activations(dy, ldy, false),
        .b = weights(w, true),
        .M = M,
        .N = w.cols,
        .K = w.rows,
        .accumulate = accumulate,
        .round = rounds(precision),
    });
}

void gemm_backward_weight(enum precision precision, float *dw, int64_t lddw, const float *dy, int64_t ldy,
                          const float *x, int64_t ldx, int64_t rows, int64_t cols, int64_t M)
{
    run(&(struct product){
        .c = dw,
        .ldc = lddw,
        .a = activations(dy, ldy, true),
        .b = activations(x, ldx, true),
        .M = rows,
        .N = cols,
        .K = M,
        .accumulate = true,
        .round = rounds(precision),
    });
}
