#include "kern/gemm.h"

#include <cblas.h>
#include <limits.h>
#include <omp.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "kern/gemm_dnnl.h"
#include "kern/isa.h"
#include "kern/panel.h"
#include "kern/threads.h"

static struct {
    int threads;
    float *workspaces;      /* [threads][PANEL_FLOATS] */
    struct gemm_dnnl *bf16; /* NULL: bf16 goes through panels of f32 */
    void (*seen)(void *context, const struct gemm_call *call);
    void *context;
} door = {.threads = 1};

static size_t workspaces_size(int threads)
{
    return (size_t)threads * PANEL_FLOATS * sizeof(float);
}

/* Without an instruction for it oneDNN would emulate bf16, slower than f32. */
static bool cpu_multiplies_bf16(void)
{
    return isa_used() == ISA_AVX512_BF16;
}

static void start_bf16(void)
{
    if (!cpu_multiplies_bf16()) {
        log_debug("bf16 products: f32 panels (%s)", isa_name(isa_used()));
        return;
    }
    struct err refusal = {0};
    door.bf16 = gemm_dnnl_new(DTYPE_BF16, door.threads, &refusal);
    if (door.bf16)
        log_debug("bf16 products: oneDNN");
    else
        log_warning("bf16 products: f32 panels, slower, because %s", refusal.text);
}

int gemm_start(int threads, struct err *e)
{
    gemm_stop();
    threads = threads < 1 ? 1 : threads;
    door.workspaces = mem_try(workspaces_size(threads));
    if (!door.workspaces)
        return err_set(e, ERR_ENVIRONMENT,
                       "no memory for the GEMM workspaces of %d threads (%zu bytes): lower ranks.threads", threads,
                       workspaces_size(threads));
    door.threads = threads;
    omp_set_num_threads(threads);
    start_bf16();
    return 0;
}

int gemm_threads(void)
{
    return door.threads;
}

bool gemm_multiplies_bf16(void)
{
    return door.bf16 != NULL;
}

void gemm_stop(void)
{
    if (door.workspaces)
        mem_free_large(door.workspaces, workspaces_size(door.threads));
    gemm_dnnl_free(door.bf16);
    door.workspaces = NULL;
    door.bf16 = NULL;
    door.threads = 1;
}

/* --- one product --- */

static void sgemm_product(const struct product *p, int64_t m0, int64_t n0, int64_t m, int64_t n)
{
    cblas_sgemm(CblasRowMajor, p->a.by_inner ? CblasTrans : CblasNoTrans, p->b.by_inner ? CblasNoTrans : CblasTrans,
                (blasint)m, (blasint)n, (blasint)p->K, 1, operand_at(&p->a, m0, 0), (blasint)p->a.ld,
                operand_at(&p->b, n0, 0), (blasint)p->b.ld, p->accumulate, p->c + m0 * p->ldc + n0, (blasint)p->ldc);
}

static bool is_direct(const struct product *p)
{
    return operand_is_direct(p, &p->a) && operand_is_direct(p, &p->b);
}

static void tile_product(const struct product *p, int64_t m0, int64_t n0, int64_t m, int64_t n)
{
    if (is_direct(p))
        sgemm_product(p, m0, n0, m, n);
    else
        panel_product(p, door.workspaces + (size_t)omp_get_thread_num() * PANEL_FLOATS, m0, n0, m, n);
}

/* How a result is cut: a function of its shape alone. */
struct tiles {
    int64_t m, n;       /* size of a tile */
    int64_t rows, cols; /* their number */
};

/* n cut into the fewest equal pieces of at most most, each a multiple of 16 but the last. */
static int64_t piece(int64_t n, int64_t most)
{
    const int64_t pieces = (n + most - 1) / most;
    return ((n + pieces - 1) / pieces + 15) / 16 * 16;
}

static struct tiles tiles_of(const struct product *p, int64_t most_m, int64_t most_n)
{
    const int64_t m = piece(p->M, most_m), n = piece(p->N, most_n);
    return (struct tiles){.m = m, .n = n, .rows = (p->M + m - 1) / m, .cols = (p->N + n - 1) / n};
}

/* sgemm packs its operands for every tile, so large tiles are cheaper; but there should be some for every thread. */
static struct tiles cut(const struct product *p)
{
    enum { SMALL = PANEL_ROWS, LARGE = 512, ENOUGH = 16 };
    const int64_t rows = (p->M + LARGE - 1) / LARGE, cols = (p->N + LARGE - 1) / LARGE;
    if (!is_direct(p) || 2 * rows * cols < ENOUGH)
        return tiles_of(p, SMALL, SMALL);
    return tiles_of(p, rows * cols < ENOUGH ? SMALL : LARGE, LARGE);
}

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void run_tile(const struct product *p, const struct tiles *tiles, int64_t t)
{
    if (p->round && door.bf16) {
        gemm_dnnl_tile(door.bf16, p, t, omp_get_thread_num());
        return;
    }
    const int64_t m0 = t % tiles->rows * tiles->m, n0 = t / tiles->rows * tiles->n;
    tile_product(p, m0, n0, min(tiles->m, p->M - m0), min(tiles->n, p->N - n0));
}

static void multiply(const struct product *p)
{
    ASSERT(door.workspaces && !omp_in_parallel());
    ASSERT(p->a.ld <= INT_MAX && p->b.ld <= INT_MAX && p->ldc <= INT_MAX && p->K <= INT_MAX);
    if (p->M == 0 || p->N == 0)
        return;
    const struct tiles tiles = cut(p);
    const int64_t count = p->round && door.bf16 ? gemm_dnnl_tiles(p) : tiles.rows * tiles.cols;
    /* OpenBLAS and oneDNN start threads of their own unless the parallel region around them has several, or this is one
     */
    const int before = omp_get_max_threads();
    omp_set_num_threads(1);
#pragma omp parallel for schedule(dynamic, 1) num_threads(kern_threads(p->M * p->N * p->K))
    for (int64_t t = 0; t < count; t++)
        run_tile(p, &tiles, t);
    omp_set_num_threads(before);
}

/* --- the door --- */

void gemm_watch(void (*seen)(void *context, const struct gemm_call *call), void *context)
{
    door.seen = seen;
    door.context = context;
}

static enum gemm_kind kind_of(const struct product *p)
{
    return p->a.by_inner ? GEMM_BACKWARD_WEIGHT : p->b.by_inner ? GEMM_BACKWARD_INPUT : GEMM_FORWARD;
}

static void run(const struct product *p)
{
    if (!door.seen) {
        multiply(p);
        return;
    }
    const double began = clock_seconds();
    multiply(p);
    door.seen(door.context, &(struct gemm_call){kind_of(p), p->round ? PRECISION_BF16 : PRECISION_F32, p->M, p->N, p->K,
                                                clock_seconds() - began});
}

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
