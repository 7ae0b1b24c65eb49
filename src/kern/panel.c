#include "kern/panel.h"

#include "kern/block_gemm.h"
#include "kern/convert_inline.h"
#include "kern/kernel.h"

/* n elements that lie together, as f32. */
static void load_row(float *to, const void *from, enum dtype dtype, int64_t n, bool round)
{
    if (dtype == DTYPE_BF16) {
        const uint16_t *x = from;
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            to[i] = bf16_widen(x[i]);
    } else if (round) {
        const float *x = from;
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            to[i] = bf16_rounded(x[i]);
    } else {
        memcpy(to, from, (size_t)n * sizeof *to);
    }
}

/* Operand a for block_gemm, by strips of TILE_ROWS rows: element (i, k) of a strip at at + i * ai + k * ak. */
struct left {
    const float *at;
    int64_t ai, ak, strip; /* strip: from one to the next */
};

/* From memory rows that run over k: copied as it lies, since block_gemm reads single elements along them. */
static struct left left_across(float *panel, const struct product *p, int64_t m0, int64_t k0, int64_t m, int64_t k)
{
    for (int64_t i = 0; i < m; i++)
        load_row(panel + i * k, operand_at(&p->a, m0 + i, k0), p->a.dtype, k, p->round);
    return (struct left){.at = panel, .ai = k, .ak = 1, .strip = TILE_ROWS * k};
}

/* From memory rows that run over m: cut into strips, so that the elements of one lie together and not a row apart. */
static struct left left_along(float *panel, const struct product *p, int64_t m0, int64_t k0, int64_t m, int64_t k)
{
    float row[PANEL_ROWS + PANEL_EXTRA] = {0};
    for (int64_t j = 0; j < k; j++) {
        load_row(row, operand_at(&p->a, m0, k0 + j), p->a.dtype, m, p->round);
        for (int64_t i = 0; i < m; i += TILE_ROWS)
            memcpy(panel + i * k + j * TILE_ROWS, row + i, TILE_ROWS * sizeof *row);
    }
    return (struct left){.at = panel, .ai = 1, .ak = TILE_ROWS, .strip = TILE_ROWS * k};
}

static struct left load_left(float *panel, const struct product *p, int64_t m0, int64_t k0, int64_t m, int64_t k)
{
    if (p->a.by_inner)
        return left_along(panel, p, m0, k0, m, k);
    if (operand_is_direct(p, &p->a))
        return (struct left){operand_at(&p->a, m0, k0), p->a.ld, 1, TILE_ROWS * p->a.ld};
    return left_across(panel, p, m0, k0, m, k);
}

/* strip[k, COLUMNS] of operand b from memory rows that run over k: transposed in squares of 4 on the way. */
static void strip_across(float *strip, const struct product *p, int64_t n0, int64_t k0, int64_t n, int64_t k)
{
    enum { CHUNK = 64 };
    float rows[COLUMNS * CHUNK] = {0};
    for (int64_t c = 0; c < k; c += CHUNK) {
        const int64_t width = k - c < CHUNK ? k - c : CHUNK;
        for (int64_t i = 0; i < n; i++)
            load_row(rows + i * CHUNK, operand_at(&p->b, n0 + i, k0 + c), p->b.dtype, width, p->round);
        for (int64_t j = 0; j < width; j += 4)
            for (int64_t i = 0; i < COLUMNS; i += 4)
                transpose_4x4(strip + (c + j) * COLUMNS + i, COLUMNS, rows + i * CHUNK + j, CHUNK);
    }
}

/* The strips of a group of columns from memory rows that run over n. Whole rows are read, or a strip's 64 bytes of each
 * would cost a page and a cache set apiece. */
static void strips_along(float *strips, const struct product *p, int64_t n0, int64_t k0, int64_t n, int64_t k)
{
    float row[PANEL_COLS] = {0};
    for (int64_t j = 0; j < k; j++) {
        load_row(row, operand_at(&p->b, n0, k0 + j), p->b.dtype, n, p->round);
        for (int64_t i = 0; i < n; i += COLUMNS)
            memcpy(strips + i * PANEL_K + j * COLUMNS, row + i, COLUMNS * sizeof *row);
    }
}

/* Operand b for block_gemm: strips of COLUMNS columns, PANEL_K * COLUMNS apart, zeros beyond n. */
static void load_right(float *strips, const struct product *p, int64_t n0, int64_t k0, int64_t n, int64_t k)
{
    if (p->b.by_inner) {
        strips_along(strips, p, n0, k0, n, k);
        return;
    }
    for (int64_t i = 0; i < n; i += COLUMNS)
        strip_across(strips + i * PANEL_K, p, n0 + i, k0, n - i < COLUMNS ? n - i : COLUMNS, k);
}

static void copy_columns(float *to, int64_t ldto, const float *from, int64_t ldfrom, int64_t m, int64_t n)
{
    for (int64_t i = 0; i < m; i++)
        memcpy(to + i * ldto, from + i * ldfrom, (size_t)n * sizeof *to);
}

static void full_strip(float *c, int64_t ldc, const struct left *a, const float *strip, int64_t m, int64_t k,
                       bool accumulate)
{
    const float *at = a->at;
    for (int64_t i = 0; i < m; i += TILE_ROWS, at += a->strip)
        block_gemm(c + i * ldc, ldc, at, a->ai, a->ak, strip, COLUMNS, m - i < TILE_ROWS ? m - i : TILE_ROWS, COLUMNS,
                   k, accumulate);
}

/* n <= COLUMNS columns of the tile; fewer than COLUMNS go through the workspace. */
static void strip_product(float *c, int64_t ldc, const struct left *a, const float *strip, float *edge, int64_t m,
                          int64_t n, int64_t k, bool accumulate)
{
    if (n == COLUMNS) {
        full_strip(c, ldc, a, strip, m, k, accumulate);
        return;
    }
    if (accumulate)
        copy_columns(edge, COLUMNS, c, ldc, m, n);
    full_strip(edge, COLUMNS, a, strip, m, k, accumulate);
    copy_columns(c, ldc, edge, COLUMNS, m, n);
}

/* n <= PANEL_COLS columns of the tile, over k <= PANEL_K of the sum. */
static void group_product(const struct product *p, const struct left *a, float *strips, int64_t m0, int64_t n0,
                          int64_t k0, int64_t m, int64_t n, int64_t k)
{
    load_right(strips, p, n0, k0, n, k);
    for (int64_t i = 0; i < n; i += COLUMNS)
        strip_product(p->c + m0 * p->ldc + n0 + i, p->ldc, a, strips + i * PANEL_K, strips + PANEL_COLS * PANEL_K, m,
                      n - i < COLUMNS ? n - i : COLUMNS, k, p->accumulate || k0 > 0);
}

void KERNEL(panel_product)(const struct product *p, float *workspace, int64_t m0, int64_t n0, int64_t m, int64_t n)
{
    _Static_assert((int)COLUMNS <= (int)STRIP && (int)PANEL_COLS % (int)COLUMNS == 0 &&
                       (int)TILE_ROWS <= (int)PANEL_EXTRA,
                   "workspaces fit every ISA");
    float *panel = workspace, *strips = panel + (PANEL_ROWS + PANEL_EXTRA) * PANEL_K;
    for (int64_t k0 = 0; k0 < p->K; k0 += PANEL_K) {
        const int64_t k = p->K - k0 < PANEL_K ? p->K - k0 : PANEL_K;
        const struct left a = load_left(panel, p, m0, k0, m, k);
        for (int64_t j = 0; j < n; j += PANEL_COLS)
            group_product(p, &a, strips, m0, n0 + j, k0, m, n - j < PANEL_COLS ? n - j : PANEL_COLS, k);
    }
}
