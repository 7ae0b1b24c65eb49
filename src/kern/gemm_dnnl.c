#include "kern/gemm_dnnl.h"

#include <omp.h>

#include "base/assert.h"
#include "base/integer.h"
#include "base/mem.h"
#include "kern/dnnl_shim.h"
#include "kern/panel_pack.h"

/* Sizes of panels. A length is cut into whole large ones and a rest in smaller ones, the last padded. */
struct sizes {
    int count, of[3];
};
static const struct sizes row_sizes = {3, {16, 64, PACK_EDGE}}, column_sizes = {2, {16, 64}},
                          depth_sizes = {3, {PACK_DEPTH_STEP, 256, PACK_DEPTH}};
enum { WIDE = 64, MOST_TOGETHER = 4 }; /* columns of a large panel; panels that a tile has side by side, at most */

/* What is packed at a time: rows and columns of the result, and, in bytes, so much of the sum. */
enum { GROUP_EDGE = 1024, GROUP_DEPTH_BYTES = 8192 };

struct workspace {
    float *c; /* [MOST_TOGETHER][PACK_EDGE, WIDE] */
    void *scratch;
};

struct gemm_dnnl {
    enum dtype dtype;
    int threads;
    struct dnnl_multiply *multiply[3][2][3][2]; /* rows, columns, depth, whether it accumulates */
    size_t scratch_size, size;                  /* of one thread's scratch, of all memory */
    char *memory, *left, *right;                /* panels, GROUP_EDGE x GROUP_DEPTH_BYTES each */
    struct workspace *workspaces;
};

/* --- start --- */

static size_t aligned(size_t n)
{
    return (n + 63) / 64 * 64;
}

static int make_primitive(struct gemm_dnnl *g, int m, int n, int k, bool accumulate, struct err *e)
{
    const struct dnnl_shape shape = {row_sizes.of[m], column_sizes.of[n], depth_sizes.of[k], g->dtype, accumulate};
    struct dnnl_multiply *x = dnnl_multiply_new(&shape, g->threads, e);
    g->multiply[m][n][k][accumulate] = x;
    if (x && dnnl_multiply_scratch(x) > g->scratch_size)
        g->scratch_size = dnnl_multiply_scratch(x);
    return x ? 0 : -1;
}

static int make_primitives(struct gemm_dnnl *g, struct err *e)
{
    for (int m = 0; m < row_sizes.count; m++)
        for (int n = 0; n < column_sizes.count; n++)
            for (int k = 0; k < depth_sizes.count; k++)
                if (make_primitive(g, m, n, k, false, e) || make_primitive(g, m, n, k, true, e))
                    return -1;
    return 0;
}

static int make_workspaces(struct gemm_dnnl *g, struct err *e)
{
    const size_t panels = (size_t)GROUP_EDGE * GROUP_DEPTH_BYTES,
                 result = PACK_EDGE * WIDE * MOST_TOGETHER * sizeof(float);
    const size_t each = result + aligned(g->scratch_size);
    g->size = 2 * panels + (size_t)g->threads * each;
    g->memory = mem_try(g->size);
    if (!g->memory)
        return err_set(e, ERR_ENVIRONMENT,
                       "no memory for the GEMM workspaces of %d threads (%zu bytes): lower ranks.threads", g->threads,
                       g->size);
    g->left = g->memory;
    g->right = g->memory + panels;
    g->workspaces = mem_array((size_t)g->threads, sizeof *g->workspaces);
    for (int t = 0; t < g->threads; t++) {
        char *at = g->memory + 2 * panels + (size_t)t * each;
        g->workspaces[t] = (struct workspace){(float *)(void *)at, at + result};
    }
    return 0;
}

struct gemm_dnnl *gemm_dnnl_new(enum dtype dtype, int threads, struct err *e)
{
    ASSERT(dtype == DTYPE_F32 || dtype == DTYPE_BF16);
    struct gemm_dnnl *g = mem_alloc(sizeof *g);
    g->dtype = dtype;
    g->threads = threads;
    if (make_primitives(g, e) || make_workspaces(g, e)) {
        gemm_dnnl_free(g);
        return NULL;
    }
    return g;
}

void gemm_dnnl_free(struct gemm_dnnl *g)
{
    if (!g)
        return;
    struct dnnl_multiply **all = &g->multiply[0][0][0][0];
    for (size_t i = 0; i < sizeof g->multiply / sizeof *all; i++)
        dnnl_multiply_free(all[i]);
    if (g->memory)
        mem_free_large(g->memory, g->size);
    mem_free(g->workspaces);
    mem_free(g);
}

/* --- lengths in pieces --- */

/* [at, at + size), in a panel of sizes[panel] >= size. */
struct piece {
    int64_t at, size, padded;
    int panel;
};

/* The smallest panel that holds the rest in at most three; above that one large panel wastes less time than four small.
 */
static int rest_panel(int64_t rest, const struct sizes *s)
{
    for (int i = 0; i < s->count - 1; i++)
        if (rest <= (i == 0 ? s->of[0] : 3 * (int64_t)s->of[i]))
            return i;
    return s->count - 1;
}

static int64_t piece_count(int64_t n, const struct sizes *s)
{
    const int64_t large = s->of[s->count - 1], rest = n % large;
    return n / large + ceil_div(rest, s->of[rest_panel(rest, s)]);
}

static struct piece piece_of(int64_t n, int64_t index, const struct sizes *s)
{
    const int64_t large = s->of[s->count - 1], whole = n / large;
    if (index < whole)
        return (struct piece){index * large, large, large, s->count - 1};
    const int panel = rest_panel(n % large, s);
    const int64_t at = whole * large + (index - whole) * s->of[panel];
    return (struct piece){at, min_i64(n - at, s->of[panel]), s->of[panel], panel};
}

/* --- a group: what is packed at a time, and the part of the result that comes of it --- */

struct group {
    int64_t m0, m, n0, n, k0, k; /* where it begins, how much of it there is */
    int64_t depth;               /* k, padded */
    int64_t ms, ns, ks;          /* pieces of each */
    int64_t together;            /* panels side by side in a tile */
};

static int64_t group_depth(const struct gemm_dnnl *g)
{
    return GROUP_DEPTH_BYTES / (g->dtype == DTYPE_BF16 ? 2 : 4);
}

/* Panels stand one behind the other, those of one edge piece together. */
static void *panel_at(const struct gemm_dnnl *g, char *panels, const struct group *x, struct piece edge,
                      struct piece depth)
{
    return panels + (edge.at * x->depth + edge.padded * depth.at) * (g->dtype == DTYPE_BF16 ? 2 : 4);
}

static void pack_left(const struct gemm_dnnl *g, const struct product *p, const struct group *x, int64_t i)
{
    const struct piece m = piece_of(x->m, i / x->ks, &row_sizes), k = piece_of(x->k, i % x->ks, &depth_sizes);
    const struct pack_part part = {x->m0 + m.at, m.size, x->k0 + k.at, k.size};
    panel_pack_left(panel_at(g, g->left, x, m, k), g->dtype, m.padded, k.padded, &p->a, &part);
}

static void pack_right(const struct gemm_dnnl *g, const struct product *p, const struct group *x, int64_t i)
{
    const struct piece n = piece_of(x->n, i / x->ks, &column_sizes), k = piece_of(x->k, i % x->ks, &depth_sizes);
    const struct pack_part part = {x->n0 + n.at, n.size, x->k0 + k.at, k.size};
    panel_pack_right(panel_at(g, g->right, x, n, k), g->dtype, n.padded, k.padded, &p->b, &part);
}

/* One row of panels by `together` columns of them: the left panel of a depth stays in the cache for all of these. */
static void multiply_tile(struct gemm_dnnl *g, const struct product *p, const struct group *x, int64_t i, int thread)
{
    const struct workspace *w = &g->workspaces[thread];
    const struct piece m = piece_of(x->m, i % x->ms, &row_sizes);
    const int64_t first = i / x->ms * x->together, count = min_i64(x->ns - first, x->together);
    struct piece n[MOST_TOGETHER];
    for (int64_t j = 0; j < count; j++)
        n[j] = piece_of(x->n, first + j, &column_sizes);
    for (int64_t d = 0; d < x->ks; d++) {
        const struct piece k = piece_of(x->k, d, &depth_sizes);
        const void *a = panel_at(g, g->left, x, m, k);
        for (int64_t j = 0; j < count; j++)
            dnnl_multiply_run(g->multiply[m.panel][n[j].panel][k.panel][d > 0], thread, w->c + j * PACK_EDGE * WIDE, a,
                              panel_at(g, g->right, x, n[j], k), w->scratch);
    }
    for (int64_t j = 0; j < count; j++)
        panel_store(p->c + (x->m0 + m.at) * p->ldc + x->n0 + n[j].at, p->ldc, w->c + j * PACK_EDGE * WIDE, n[j].padded,
                    m.size, n[j].size, p->accumulate || x->k0 > 0);
}

/* Several tiles for every thread where there are so many. */
static int64_t panels_together(const struct group *x, int threads)
{
    int64_t together = MOST_TOGETHER;
    while (together > 1 && x->ms * ceil_div(x->ns, together) < 4 * threads)
        together--;
    return together;
}

static struct group group_of(const struct gemm_dnnl *g, const struct product *p, int64_t m0, int64_t n0, int64_t k0)
{
    struct group x = {.m0 = m0, .n0 = n0, .k0 = k0};
    x.m = min_i64(p->M - m0, GROUP_EDGE);
    x.n = min_i64(p->N - n0, GROUP_EDGE);
    x.k = min_i64(p->K - k0, group_depth(g));
    x.ms = piece_count(x.m, &row_sizes);
    x.ns = piece_count(x.n, &column_sizes);
    x.ks = piece_count(x.k, &depth_sizes);
    const struct piece last = piece_of(x.k, x.ks - 1, &depth_sizes);
    x.depth = last.at + last.padded;
    x.together = panels_together(&x, omp_get_num_threads());
    return x;
}

/* By every thread of a parallel region. The left side is packed once for all columns. */
static void multiply_group(struct gemm_dnnl *g, const struct product *p, const struct group *x)
{
    if (x->n0 == 0)
#pragma omp for schedule(dynamic, 1) nowait
        for (int64_t i = 0; i < x->ms * x->ks; i++)
            pack_left(g, p, x, i);
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < x->ns * x->ks; i++)
        pack_right(g, p, x, i);
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < x->ms * ceil_div(x->ns, x->together); i++)
        multiply_tile(g, p, x, i, omp_get_thread_num());
}

/* oneDNN starts threads of its own unless the parallel region around it has several, or this is one. */
void gemm_dnnl_multiply(struct gemm_dnnl *g, const struct product *p, int threads)
{
    ASSERT(threads <= g->threads);
    const int before = omp_get_max_threads();
    const int64_t depth = group_depth(g);
    omp_set_num_threads(1);
#pragma omp parallel num_threads(threads)
    for (int64_t m = 0; m < p->M; m += GROUP_EDGE)
        for (int64_t k = 0; k < p->K; k += depth)
            for (int64_t n = 0; n < p->N; n += GROUP_EDGE) {
                const struct group x = group_of(g, p, m, n, k);
                multiply_group(g, p, &x);
            }
    omp_set_num_threads(before);
}
