#include "kern/gemm_dnnl.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kern/dnnl_shim.h"
#include "kern/panel_pack.h"

/* Sizes of panels. A length is cut into whole large ones and a rest in smaller ones, the last padded. */
enum { EDGES = 3, DEPTHS = 2, LAYOUTS = 3 };
static const int edges[EDGES] = {16, 64, 256}; /* of m and n */
static const int depths[DEPTHS] = {64, 512};   /* of k */

/* The layouts of (a, b): x w^T, dy w, dy^T x. */
static const struct {
    bool a_by_k, b_by_k;
} layouts[LAYOUTS] = {{false, false}, {false, true}, {true, true}};

struct workspace {
    void *a, *b, *scratch;
    float *c;
};

struct gemm_dnnl {
    enum dtype dtype;
    int threads;
    struct dnnl_multiply *multiply[LAYOUTS][EDGES][EDGES][DEPTHS];
    size_t scratch_size, size; /* of one thread's scratch, of all workspaces */
    char *memory;
    struct workspace *workspaces;
};

/* --- start --- */

static size_t aligned(size_t n)
{
    return (n + 63) / 64 * 64;
}

static int make_primitives(struct gemm_dnnl *g, struct err *e)
{
    for (int l = 0; l < LAYOUTS; l++)
        for (int i = 0; i < EDGES * EDGES * DEPTHS; i++) {
            const int m = i / DEPTHS / EDGES, n = i / DEPTHS % EDGES, k = i % DEPTHS;
            const struct dnnl_shape shape = {edges[m],          edges[n],          depths[k],
                                             layouts[l].a_by_k, layouts[l].b_by_k, g->dtype};
            struct dnnl_multiply *x = dnnl_multiply_new(&shape, g->threads, e);
            if (!x)
                return -1;
            g->multiply[l][m][n][k] = x;
            if (dnnl_multiply_scratch(x) > g->scratch_size)
                g->scratch_size = dnnl_multiply_scratch(x);
        }
    return 0;
}

static int make_workspaces(struct gemm_dnnl *g, struct err *e)
{
    const size_t edge = (size_t)edges[EDGES - 1], depth = (size_t)depths[DEPTHS - 1];
    const size_t panel = edge * depth * (g->dtype == DTYPE_BF16 ? 2 : 4), result = edge * edge * sizeof(float);
    const size_t one = 2 * panel + result + aligned(g->scratch_size);
    g->size = (size_t)g->threads * one;
    g->memory = mem_try(g->size);
    if (!g->memory)
        return err_set(e, ERR_ENVIRONMENT,
                       "no memory for the GEMM workspaces of %d threads (%zu bytes): lower ranks.threads", g->threads,
                       g->size);
    g->workspaces = mem_array((size_t)g->threads, sizeof *g->workspaces);
    for (int t = 0; t < g->threads; t++) {
        char *at = g->memory + (size_t)t * one;
        g->workspaces[t] = (struct workspace){
            .a = at, .b = at + panel, .c = (float *)(void *)(at + 2 * panel), .scratch = at + 2 * panel + result};
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
    for (int l = 0; l < LAYOUTS; l++)
        for (int m = 0; m < EDGES; m++)
            for (int n = 0; n < EDGES; n++)
                for (int k = 0; k < DEPTHS; k++)
                    dnnl_multiply_free(g->multiply[l][m][n][k]);
    if (g->memory)
        mem_free_large(g->memory, g->size);
    mem_free(g->workspaces);
    mem_free(g);
}

/* --- tiles --- */

/* A piece of a length: [at, at + size), in a panel of sizes[panel] >= size. */
struct piece {
    int64_t at, size;
    int panel;
};

/* The smallest panel that holds the rest in at most three; above that one large panel wastes less time than four small.
 */
static int rest_panel(int64_t rest, const int *sizes, int count)
{
    for (int i = 0; i < count - 1; i++)
        if (rest <= (i == 0 ? sizes[0] : 3 * (int64_t)sizes[i]))
            return i;
    return count - 1;
}

static int64_t piece_count(int64_t n, const int *sizes, int count)
{
    const int64_t large = sizes[count - 1], rest = n % large, small = sizes[rest_panel(rest, sizes, count)];
    return n / large + (rest + small - 1) / small;
}

static struct piece piece_of(int64_t n, int64_t index, const int *sizes, int count)
{
    const int64_t large = sizes[count - 1], whole = n / large;
    if (index < whole)
        return (struct piece){index * large, large, count - 1};
    const int panel = rest_panel(n % large, sizes, count);
    const int64_t at = whole * large + (index - whole) * sizes[panel];
    return (struct piece){at, n - at < sizes[panel] ? n - at : sizes[panel], panel};
}

int64_t gemm_dnnl_tiles(const struct product *p)
{
    return piece_count(p->M, edges, EDGES) * piece_count(p->N, edges, EDGES);
}

static int layout_of(const struct product *p)
{
    for (int l = 0; l < LAYOUTS; l++)
        if (layouts[l].a_by_k == p->a.by_inner && layouts[l].b_by_k == p->b.by_inner)
            return l;
    ASSERT(p->a.by_inner == p->b.by_inner); /* x^T w^T: no product of the door is that */
    return -1;
}

static void pack(void *to, enum dtype dtype, const struct operand *o, struct piece outer, struct piece inner)
{
    const struct piece row = o->by_inner ? inner : outer, col = o->by_inner ? outer : inner;
    const int rows = o->by_inner ? depths[row.panel] : edges[row.panel];
    const int cols = o->by_inner ? edges[col.panel] : depths[col.panel];
    panel_pack(to, dtype, cols, rows, operand_at(o, outer.at, inner.at), o->dtype, o->ld, row.size, col.size);
}

static void store(float *c, int64_t ldc, const float *from, int64_t ldfrom, int64_t m, int64_t n, bool accumulate)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            c[i * ldc + j] = from[i * ldfrom + j] + (accumulate ? c[i * ldc + j] : 0);
}

void gemm_dnnl_tile(struct gemm_dnnl *g, const struct product *p, int64_t tile, int thread)
{
    const int64_t rows = piece_count(p->M, edges, EDGES);
    const struct piece m = piece_of(p->M, tile % rows, edges, EDGES), n = piece_of(p->N, tile / rows, edges, EDGES);
    const int layout = layout_of(p);
    const struct workspace *w = &g->workspaces[thread];
    memset(w->c, 0, (size_t)(edges[m.panel] * edges[n.panel]) * sizeof *w->c);
    for (int64_t i = 0; i < piece_count(p->K, depths, DEPTHS); i++) {
        const struct piece k = piece_of(p->K, i, depths, DEPTHS);
        pack(w->a, g->dtype, &p->a, m, k);
        pack(w->b, g->dtype, &p->b, n, k);
        dnnl_multiply_run(g->multiply[layout][m.panel][n.panel][k.panel], thread, w->c, w->a, w->b, w->scratch);
    }
    store(p->c + m.at * p->ldc + n.at, p->ldc, w->c, edges[n.panel], m.size, n.size, p->accumulate);
}
