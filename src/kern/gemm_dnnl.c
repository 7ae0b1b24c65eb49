#include "kern/gemm_dnnl.h"

#include <omp.h>

#include "base/assert.h"
#include "base/integer.h"
#include "base/mem.h"
#include "kern/dnnl_shim.h"
#include "kern/panel_pack.h"

/* Sizes of panels. A length is cut into whole large ones and a rest in smaller ones, the last padded. A rest that fits
 * joins the large one before it in one that is longer: a panel of little depth would cost a pass over the result for
 * few sums. */
struct sizes {
    int count, of[4];
    int large, longer; /* which of them; longer = large where nothing joins */
};
static const struct sizes row_sizes = {3, {16, 64, PACK_EDGE}, 2, 2}, column_sizes = {2, {16, 64}, 1, 1},
                          depth_sizes = {4, {PACK_DEPTH_STEP, 256, 512, PACK_DEPTH}, 2, 3};
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
    struct dnnl_multiply *multiply[3][2][4][2]; /* rows, columns, depth, whether it accumulates */
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

/* How a length is cut: whole large panels, then `rests` of size of[rest]; or the last large one is a longer one. */
struct cut {
    int64_t whole, rests;
    int rest;
    bool longer;
};

/* The smallest panel that holds the rest in at most three; above that one large panel wastes less time than four small.
 */
static int rest_panel(int64_t rest, const struct sizes *s)
{
    for (int i = 0; i < s->large; i++)
        if (rest <= (i == 0 ? s->of[0] : 3 * (int64_t)s->of[i]))
            return i;
    return s->large;
}

static struct cut cut_of(int64_t n, const struct sizes *s)
{
    const int64_t large = s->of[s->large], rest = n % large;
    struct cut c = {.whole = n / large, .rest = rest_panel(rest, s)};
    c.longer = c.whole && rest && rest <= s->of[s->longer] - large;
    c.rests = c.longer ? 0 : ceil_div(rest, s->of[c.rest]);
    return c;
}

static int64_t piece_count(int64_t n, const struct sizes *s)
{
    const struct cut c = cut_of(n, s);
    return c.whole + c.rests;
}

static struct piece piece_of(int64_t n, int64_t index, const struct sizes *s)
{
    const struct cut c = cut_of(n, s);
    const int64_t large = s->of[s->large];
    const bool longer = c.longer && index == c.whole - 1;
    const int panel = longer ? s->longer : index < c.whole ? s->large : c.rest;
    const int64_t at = min_i64(index, c.whole) * large + max_i64(index - c.whole, 0) * s->of[panel];
    return (struct piece){at, min_i64(n - at, s->of[panel]), s->of[panel], panel};
}

/* What a length takes up in panels. */
static int64_t padded_length(int64_t n, const struct sizes *s)
{
    if (n == 0)
        return 0;
    const struct piece last = piece_of(n, piece_count(n, s) - 1, s);
    return last.at + last.padded;
}

/* --- a group: what is packed at a time, and the part of the result that comes of it --- */

struct group {
    int64_t m0, m, n0, n, k0, k; /* where it begins, how much of it there is */
    int64_t depth;               /* k, padded */
    int64_t ms, ns, ks;          /* pieces of each */
    int64_t together;            /* panels side by side in a tile */
};

static int64_t element_size(const struct gemm_dnnl *g)
{
    return g->dtype == DTYPE_BF16 ? 2 : 4;
}

static int64_t group_depth(const struct gemm_dnnl *g)
{
    return GROUP_DEPTH_BYTES / element_size(g);
}

/* Panels stand one behind the other, those of one edge piece together; depth: of all of these. */
static int64_t panel_offset(const struct gemm_dnnl *g, int64_t depth, struct piece edge, struct piece k)
{
    return (edge.at * depth + edge.padded * k.at) * element_size(g);
}

static void pack_left(const struct gemm_dnnl *g, const struct product *p, const struct group *x, int64_t i)
{
    const struct piece m = piece_of(x->m, i / x->ks, &row_sizes), k = piece_of(x->k, i % x->ks, &depth_sizes);
    const struct pack_part part = {x->m0 + m.at, m.size, x->k0 + k.at, k.size};
    panel_pack_left(g->left + panel_offset(g, x->depth, m, k), g->dtype, m.padded, k.padded, &p->a, &part);
}

/* Panel number i of [n, k] of an operand, of which the first element is (n0, k0). */
static void pack_right(const struct gemm_dnnl *g, char *panels, const struct operand *b, const struct group *x,
                       int64_t i)
{
    const struct piece n = piece_of(x->n, i / x->ks, &column_sizes), k = piece_of(x->k, i % x->ks, &depth_sizes);
    const struct pack_part part = {x->n0 + n.at, n.size, x->k0 + k.at, k.size};
    panel_pack_right(panels + panel_offset(g, x->depth, n, k), g->dtype, n.padded, k.padded, b, &part);
}

/* Those of an operand that was packed as a whole stand where they do in the whole: groups are whole large panels. */
static const void *right_panel(const struct gemm_dnnl *g, const struct product *p, const struct group *x,
                               struct piece n, struct piece k)
{
    if (!p->b.panels)
        return g->right + panel_offset(g, x->depth, n, k);
    n.at += x->n0;
    k.at += x->k0;
    return (const char *)p->b.panels + panel_offset(g, padded_length(p->K, &depth_sizes), n, k);
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
        const void *a = g->left + panel_offset(g, x->depth, m, k);
        for (int64_t j = 0; j < count; j++)
            dnnl_multiply_run(g->multiply[m.panel][n[j].panel][k.panel][d > 0], thread, w->c + j * PACK_EDGE * WIDE, a,
                              right_panel(g, p, x, n[j], k), w->scratch);
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

/* m by n of the result from (m0, n0), over k of the sum from k0. */
static struct group group_at(int64_t m0, int64_t m, int64_t n0, int64_t n, int64_t k0, int64_t k)
{
    struct group x = {.m0 = m0, .m = m, .n0 = n0, .n = n, .k0 = k0, .k = k};
    x.ms = piece_count(x.m, &row_sizes);
    x.ns = piece_count(x.n, &column_sizes);
    x.ks = piece_count(x.k, &depth_sizes);
    x.depth = padded_length(x.k, &depth_sizes);
    x.together = panels_together(&x, omp_get_num_threads());
    return x;
}

/* By every thread of a parallel region. */
static void multiply_group(struct gemm_dnnl *g, const struct product *p, const struct group *x)
{
    if (!p->b.panels)
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < x->ns * x->ks; i++)
            pack_right(g, g->right, &p->b, x, i);
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < x->ms * ceil_div(x->ns, x->together); i++)
        multiply_tile(g, p, x, i, omp_get_thread_num());
}

/* All that [m, k] of the left side, packed once, goes into. */
static void multiply_row(struct gemm_dnnl *g, const struct product *p, int count, int64_t m0, int64_t k0)
{
    const int64_t m = min_i64(p->M - m0, GROUP_EDGE), k = min_i64(p->K - k0, group_depth(g));
    const struct group left = group_at(m0, m, 0, 0, k0, k);
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < left.ms * left.ks; i++)
        pack_left(g, p, &left, i);
    for (int i = 0; i < count; i++)
        for (int64_t n0 = 0; n0 < p[i].N; n0 += GROUP_EDGE) {
            const struct group x = group_at(m0, m, n0, min_i64(p[i].N - n0, GROUP_EDGE), k0, k);
            multiply_group(g, &p[i], &x);
        }
}

/* oneDNN starts threads of its own unless the parallel region around it has several, or this is one. */
void gemm_dnnl_multiply(struct gemm_dnnl *g, const struct product *p, int count, int threads)
{
    ASSERT(threads <= g->threads);
    const int before = omp_get_max_threads();
    omp_set_num_threads(1);
#pragma omp parallel num_threads(threads)
    for (int64_t m = 0; m < p->M; m += GROUP_EDGE)
        for (int64_t k = 0; k < p->K; k += group_depth(g))
            multiply_row(g, p, count, m, k);
    omp_set_num_threads(before);
}

/* --- a right side that stays --- */

size_t gemm_dnnl_packed_size(const struct gemm_dnnl *g, int64_t N, int64_t K)
{
    return (size_t)(padded_length(N, &column_sizes) * padded_length(K, &depth_sizes) * element_size(g));
}

void gemm_dnnl_pack(const struct gemm_dnnl *g, void *panels, const struct operand *b, int64_t N, int64_t K, int threads)
{
    const struct group whole = group_at(0, 0, 0, N, 0, K);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t i = 0; i < whole.ns * whole.ks; i++)
        pack_right(g, panels, b, &whole, i);
}
