#include "kern/gemm.h"

#include <cblas.h>
#include <limits.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/integer.h"
#include "base/log.h"
#include "base/mem.h"
#include "kern/block_bf16.h"
#include "kern/gemm_dnnl.h"
#include "kern/isa.h"
#include "kern/op_few_rows.h"
#include "kern/op_linear.h"
#include "kern/panel.h"
#include "kern/threads.h"

static struct {
    int threads;
    float *strips;             /* [PANEL_PIECE]: what all threads multiply by */
    float *workspaces;         /* [threads][PANEL_WORKSPACE], behind it */
    struct gemm_dnnl *bf16;    /* NULL: bf16 goes through panels of f32 */
    struct gemm_dnnl *f32;     /* NULL: f32 goes to OpenBLAS where it lies, else through panels */
    struct block_bf16 *blocks; /* there where bf16 is, unless oneDNN refused */
    bool blas;                 /* OpenBLAS has kernels for this CPU */
    void (*seen)(void *context, const struct gemm_call *call);
    void *context;
} door = {.threads = 1};

static size_t workspaces_size(int threads)
{
    return (PANEL_PIECE + (size_t)threads * PANEL_WORKSPACE) * sizeof(float);
}

/* What OpenBLAS takes a CPU for that it has not heard of. */
static bool openblas_knows_avx2(void)
{
    static const char *const older[] = {"Prescott",  "Core2",     "Nehalem",   "Sandybridge",
                                        "Barcelona", "Bulldozer", "Piledriver"};
    const char *core = openblas_get_corename();
    for (size_t i = 0; i < sizeof older / sizeof *older; i++)
        if (!strcmp(core, older[i])) {
            log_warning("OpenBLAS takes this CPU for a %s: f32 products do without it; a newer OpenBLAS, or "
                        "OPENBLAS_CORETYPE=Haswell, may be faster",
                        core);
            return false;
        }
    return true;
}

enum f32_engine { F32_ONEDNN, F32_OPENBLAS, F32_PANELS, F32_ENGINES };
static const char *const f32_names[F32_ENGINES] = {"onednn", "openblas", "panels"};

/* With AVX-512 oneDNN's f32 is as fast as OpenBLAS's or faster, and does not hang on whether OpenBLAS has heard of the
 * CPU: one that it has not it serves with kernels for CPUs twenty years older. */
static enum f32_engine f32_engine(enum isa isa)
{
    const char *wish = getenv("RETORT_F32");
    for (enum f32_engine f = 0; wish && f < F32_ENGINES; f++)
        if (!strcmp(wish, f32_names[f]))
            return f;
    if (wish && *wish)
        log_warning("environment variable RETORT_F32 is '%s'; it takes onednn, openblas or panels: ignored", wish);
    if (isa >= ISA_AVX512)
        return F32_ONEDNN;
    return isa < ISA_AVX2 || openblas_knows_avx2() ? F32_OPENBLAS : F32_PANELS;
}

static struct gemm_dnnl *start_dnnl(enum dtype dtype)
{
    struct err refusal = {0};
    struct gemm_dnnl *g = gemm_dnnl_new(dtype, door.threads, &refusal);
    if (!g)
        log_warning("%s products without oneDNN, slower, because %s", dtype_name(dtype), refusal.text);
    return g;
}

static struct block_bf16 *start_blocks(void)
{
    struct err refusal = {0};
    struct block_bf16 *x = block_bf16_new(door.threads, &refusal);
    if (!x)
        log_warning("attention in f32, slower, because %s", refusal.text);
    return x;
}

/* Without an instruction for it oneDNN would emulate bf16, slower than f32. */
static void start_engines(void)
{
    const enum isa isa = isa_used();
    const enum f32_engine f32 = f32_engine(isa);
    door.bf16 = isa >= ISA_AVX512_BF16 ? start_dnnl(DTYPE_BF16) : NULL;
    door.blocks = door.bf16 ? start_blocks() : NULL;
    door.f32 = f32 == F32_ONEDNN ? start_dnnl(DTYPE_F32) : NULL;
    door.blas = f32 != F32_PANELS;
    log_debug("products (%s): bf16 by %s, f32 by %s", isa_name(isa), door.bf16 ? "oneDNN" : "panels of f32",
              f32_names[door.f32 || !door.blas ? f32 : F32_OPENBLAS]);
}

int gemm_start(int threads, struct err *e)
{
    gemm_stop();
    threads = threads < 1 ? 1 : threads;
    door.strips = mem_try(workspaces_size(threads));
    if (!door.strips)
        return err_set(e, ERR_ENVIRONMENT,
                       "no memory for the GEMM workspaces of %d threads (%zu bytes): lower ranks.threads", threads,
                       workspaces_size(threads));
    door.workspaces = door.strips + PANEL_PIECE;
    door.threads = threads;
    omp_set_num_threads(threads);
    start_engines();
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

const struct block_bf16 *gemm_blocks(void)
{
    return door.blocks;
}

void gemm_stop(void)
{
    if (door.strips)
        mem_free_large(door.strips, workspaces_size(door.threads));
    gemm_dnnl_free(door.bf16);
    gemm_dnnl_free(door.f32);
    block_bf16_free(door.blocks);
    door.strips = NULL;
    door.bf16 = door.f32 = NULL;
    door.blocks = NULL;
    door.threads = 1;
}

/* --- one product --- */

/* equal_part, rounded up to a multiple of step. */
static int64_t part(int64_t n, int64_t most, int64_t step)
{
    return ceil_div(equal_part(n, most), step) * step;
}

/* How a result, or a piece's columns of it, is shared out. */
struct tiles {
    int64_t m, n;       /* size of one */
    int64_t rows, cols; /* their number */
};

static struct tiles tiles_of(int64_t M, int64_t N, int64_t m, int64_t n)
{
    return (struct tiles){.m = m, .n = n, .rows = ceil_div(M, m), .cols = ceil_div(N, n)};
}

/* Each tile on one thread. OpenBLAS starts threads of its own unless the parallel region around it has several, or this
 * is one. */
static void each_tile(const struct product *p, const struct tiles *tiles, int64_t count,
                      void (*compute)(const struct product *p, const struct tiles *tiles, int64_t i))
{
    const int before = omp_get_max_threads();
    omp_set_num_threads(1);
#pragma omp parallel for schedule(dynamic, 1) num_threads(kern_threads(p->M * p->N * p->K))
    for (int64_t i = 0; i < count; i++)
        compute(p, tiles, i);
    omp_set_num_threads(before);
}

/* --- f32 as it lies: OpenBLAS --- */

/* A function of the shape alone, since OpenBLAS does not promise the same bits in tiles of another size. It packs its
 * operands for every tile, so large ones are cheaper; but there should be some for every thread. */
static struct tiles cut_by_shape(const struct product *p)
{
    enum { SMALL = 256, LARGE = 512, ENOUGH = 16, STEP = 16 };
    const int64_t large = ceil_div(p->M, LARGE) * ceil_div(p->N, LARGE);
    const int64_t most_m = large < ENOUGH ? SMALL : LARGE, most_n = 2 * large < ENOUGH ? SMALL : LARGE;
    return tiles_of(p->M, p->N, part(p->M, most_m, STEP), part(p->N, most_n, STEP));
}

static void sgemm_tile(const struct product *p, const struct tiles *tiles, int64_t i)
{
    const int64_t m0 = i % tiles->rows * tiles->m, n0 = i / tiles->rows * tiles->n;
    cblas_sgemm(CblasRowMajor, p->a.by_inner ? CblasTrans : CblasNoTrans, p->b.by_inner ? CblasNoTrans : CblasTrans,
                (blasint)min_i64(tiles->m, p->M - m0), (blasint)min_i64(tiles->n, p->N - n0), (blasint)p->K, 1,
                operand_at(&p->a, m0, 0), (blasint)p->a.ld, operand_at(&p->b, n0, 0), (blasint)p->b.ld, p->accumulate,
                p->c + m0 * p->ldc + n0, (blasint)p->ldc);
}

static void multiply_sgemm(const struct product *p)
{
    ASSERT(p->a.ld <= INT_MAX && p->b.ld <= INT_MAX && p->ldc <= INT_MAX && p->K <= INT_MAX);
    const struct tiles tiles = cut_by_shape(p);
    each_tile(p, &tiles, tiles.rows * tiles.cols, sgemm_tile);
}

/* --- everything else: panels --- */

/* Several tiles for every thread, as many for each, so that none waits long for the last. */
static struct tiles cut_piece(int64_t M, int64_t cols, int threads)
{
    enum { EACH = 8, NARROW = 64 };
    const int64_t m = part(M, PANEL_ROWS, PANEL_ROW_STEP), rows = ceil_div(M, m);
    int64_t wanted = ceil_div(threads > 1 ? EACH * threads : 1, rows);
    while (rows * wanted % threads)
        wanted++;
    return tiles_of(M, cols, m, part(cols, max_i64(ceil_div(cols, wanted), NARROW), PANEL_COLUMN_STEP));
}

static void panel_tile(const struct product *p, const struct panel_piece *piece, const struct tiles *tiles, int64_t i)
{
    const int64_t m0 = i % tiles->rows * tiles->m, n0 = i / tiles->rows * tiles->n;
    panel_multiply(p, piece, door.strips, door.workspaces + (size_t)omp_get_thread_num() * PANEL_WORKSPACE, m0,
                   min_i64(tiles->m, p->M - m0), n0, min_i64(tiles->n, piece->cols - n0));
}

/* By every thread of a parallel region. */
static void multiply_piece(const struct product *p, const struct panel_piece *piece)
{
    const struct tiles tiles = cut_piece(p->M, piece->cols, omp_get_num_threads());
#pragma omp for schedule(dynamic, 1)
    for (int64_t first = 0; first < piece->cols; first += PANEL_COLS)
        panel_strips(door.strips, p, piece, first);
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < tiles.rows * tiles.cols; i++)
        panel_tile(p, piece, &tiles, i);
}

static void multiply_panels(const struct product *p)
{
    const int64_t cols = part(p->N, PANEL_GROUP, PANEL_COLUMN_STEP), depth = part(p->K, panel_depth(), 16);
#pragma omp parallel num_threads(kern_threads(p->M * p->N * p->K))
    for (int64_t n = 0; n < p->N; n += cols)
        for (int64_t k = 0; k < p->K; k += depth)
            multiply_piece(p, &(struct panel_piece){n, min_i64(cols, p->N - n), k, min_i64(depth, p->K - k)});
}

/* --- few rows --- */

static bool is_few_rows(const struct product *p)
{
    const bool forward = !p->a.by_inner && !p->b.by_inner, as_it_lies = p->b.dtype == DTYPE_BF16 || !p->round;
    return forward && as_it_lies && !p->b.panels && p->M <= FEW_ROWS && p->M * p->K <= PANEL_PIECE;
}

static void multiply_few_rows(const struct product *p)
{
    const float *x = p->a.data;
    if (!p->round) {
        few_rows_multiply(p, x, p->a.ld);
        return;
    }
    for (int64_t m = 0; m < p->M; m++)
        memcpy(door.strips + m * p->K, x + m * p->a.ld, (size_t)p->K * sizeof *x);
    vector_round(door.strips, p->M * p->K);
    few_rows_multiply(p, door.strips, p->K);
}

/* --- which of them --- */

static struct gemm_dnnl *dnnl_of(bool round)
{
    return round ? door.bf16 : door.f32;
}

static void multiply_alone(const struct product *p, struct gemm_dnnl *dnnl, int threads)
{
    if (is_few_rows(p))
        multiply_few_rows(p);
    else if (dnnl)
        gemm_dnnl_multiply(dnnl, p, 1, threads);
    else if (door.blas && operand_is_direct(p, &p->a) && operand_is_direct(p, &p->b))
        multiply_sgemm(p);
    else
        multiply_panels(p);
}

/* Products of one left side: the same a, M and K. */
static void multiply(const struct product *p, int count)
{
    struct gemm_dnnl *dnnl = dnnl_of(p->round);
    const int threads = kern_threads(p->M * p->N * p->K);
    ASSERT(door.strips && !omp_in_parallel() && (p->K > 0 || p->accumulate));
    if (p->M == 0 || p->K == 0)
        return;
    if (dnnl && p->M > FEW_ROWS)
        gemm_dnnl_multiply(dnnl, p, count, threads);
    else
        for (int i = 0; i < count; i++)
            if (p[i].N > 0)
                multiply_alone(&p[i], dnnl, threads);
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

/* What several products took together is told in proportion to their work. */
static void tell(const struct product *p, int count, double seconds)
{
    int64_t N = 0;
    for (int i = 0; i < count; i++)
        N += p[i].N;
    for (int i = 0; i < count; i++)
        door.seen(door.context, &(struct gemm_call){kind_of(&p[i]), p[i].round ? PRECISION_BF16 : PRECISION_F32, p[i].M,
                                                    p[i].N, p[i].K, seconds * (double)p[i].N / (double)N});
}

static void run(const struct product *p, int count)
{
    if (!door.seen) {
        multiply(p, count);
        return;
    }
    const double began = clock_seconds();
    multiply(p, count);
    tell(p, count, clock_seconds() - began);
}

static struct operand activations(const float *x, int64_t ld, bool by_inner)
{
    return (struct operand){.data = x, .dtype = DTYPE_F32, .ld = ld, .by_inner = by_inner};
}

static struct operand weights(struct matrix w, bool by_inner)
{
    ASSERT((w.dtype == DTYPE_F32 || w.dtype == DTYPE_BF16) && (w.data || !by_inner));
    return (struct operand){
        .data = w.data, .dtype = w.dtype, .ld = w.cols, .by_inner = by_inner, .panels = by_inner ? NULL : w.packed};
}

static bool rounds(enum precision precision)
{
    ASSERT(precision == PRECISION_F32 || precision == PRECISION_BF16);
    return precision == PRECISION_BF16;
}

size_t gemm_packed_size(enum precision precision, int64_t rows, int64_t cols)
{
    const struct gemm_dnnl *dnnl = dnnl_of(rounds(precision));
    return dnnl ? gemm_dnnl_packed_size(dnnl, rows, cols) : 0;
}

void gemm_pack(enum precision precision, void *to, struct matrix w)
{
    const struct operand b = {.data = w.data, .dtype = w.dtype, .ld = w.cols};
    gemm_dnnl_pack(dnnl_of(rounds(precision)), to, &b, w.rows, w.cols, kern_threads(w.rows * w.cols));
}

static struct product forward(enum precision precision, const struct gemm_output *o, const float *x, int64_t ldx,
                              int64_t M)
{
    return (struct product){
        .c = o->y,
        .ldc = o->ldy,
        .a = activations(x, ldx, false),
        .b = weights(o->w, false),
        .M = M,
        .N = o->w.rows,
        .K = o->w.cols,
        .accumulate = o->accumulate,
        .round = rounds(precision),
    };
}

void gemm_forward_each(enum precision precision, const struct gemm_output *outputs, int count, const float *x,
                       int64_t ldx, int64_t M)
{
    struct product products[GEMM_OUTPUTS_MAX];
    ASSERT(count > 0 && count <= GEMM_OUTPUTS_MAX);
    for (int i = 0; i < count; i++) {
        ASSERT(outputs[i].w.cols == outputs[0].w.cols);
        products[i] = forward(precision, &outputs[i], x, ldx, M);
    }
    run(products, count);
}

void gemm_forward(enum precision precision, float *y, int64_t ldy, const float *x, int64_t ldx, struct matrix w,
                  int64_t M, bool accumulate)
{
    gemm_forward_each(precision, &(struct gemm_output){y, ldy, w, accumulate}, 1, x, ldx, M);
}

void gemm_backward_input(enum precision precision, float *dx, int64_t ldx, const float *dy, int64_t ldy,
                         struct matrix w, int64_t M, bool accumulate)
{
    const struct product p = {
        .c = dx,
        .ldc = ldx,
        .a = activations(dy, ldy, false),
        .b = weights(w, true),
        .M = M,
        .N = w.cols,
        .K = w.rows,
        .accumulate = accumulate,
        .round = rounds(precision),
    };
    run(&p, 1);
}

void gemm_backward_weight(enum precision precision, float *dw, int64_t lddw, const float *dy, int64_t ldy,
                          const float *x, int64_t ldx, int64_t rows, int64_t cols, int64_t M)
{
    const struct product p = {
        .c = dw,
        .ldc = lddw,
        .a = activations(dy, ldy, true),
        .b = activations(x, ldx, true),
        .M = rows,
        .N = cols,
        .K = M,
        .accumulate = true,
        .round = rounds(precision),
    };
    run(&p, 1);
}
