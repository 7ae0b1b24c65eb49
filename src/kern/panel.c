#include "kern/panel.h"

#include "base/integer.h"
#include "kern/block_gemm.h"
#include "kern/convert_inline.h"
#include "kern/kernel.h"

_Static_assert((int)PANEL_COLUMN_STEP % (int)COLUMNS == 0 && (int)PANEL_COLS % (int)PANEL_COLUMN_STEP == 0 &&
                   (int)PANEL_ROWS % (int)PANEL_ROW_STEP == 0 && (int)PANEL_ROW_STEP % (int)TILE_ROWS == 0,
               "blocks and strips fit the register tile of every instruction set");

int64_t KERNEL(panel_depth)(void)
{
    return min_i64(PANEL_K, PANEL_STRIP / COLUMNS);
}

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

/* --- operand b: strips of COLUMNS columns, each [depth, COLUMNS], one behind the other, zeros beyond the last --- */

/* strip[k, COLUMNS] from n memory rows that run over k. */
static void transpose(float *strip, const float *rows, int64_t ld, int64_t k)
{
    int64_t j = 0;
    for (; j + 4 <= k; j += 4)
        for (int64_t i = 0; i < COLUMNS; i += 4)
            transpose_4x4(strip + j * COLUMNS + i, COLUMNS, rows + i * ld + j, ld);
    for (; j < k; j++)
        for (int64_t i = 0; i < COLUMNS; i++)
            strip[j * COLUMNS + i] = rows[i * ld + j];
}

/* The same from rows that are not f32 as they lie, or fewer than COLUMNS: by way of a copy. */
static void convert_and_transpose(float *strip, const struct product *p, int64_t n0, int64_t k0, int64_t n, int64_t k)
{
    enum { CHUNK = 64 };
    float rows[COLUMNS * CHUNK] = {0};
    for (int64_t c = 0; c < k; c += CHUNK) {
        const int64_t width = min_i64(k - c, CHUNK);
        for (int64_t i = 0; i < n; i++)
            load_row(rows + i * CHUNK, operand_at(&p->b, n0 + i, k0 + c), p->b.dtype, width, p->round);
        transpose(strip + c * COLUMNS, rows, CHUNK, width);
    }
}

static void strip_across(float *strip, const struct product *p, int64_t n0, int64_t k0, int64_t n, int64_t k)
{
    if (n == COLUMNS && operand_is_direct(p, &p->b))
        transpose(strip, operand_at(&p->b, n0, k0), p->b.ld, k);
    else
        convert_and_transpose(strip, p, n0, k0, n, k);
}

/* Strips from memory rows that run over n. Whole rows are read, or a strip's 64 bytes of each would cost a page and a
 * cache set apiece. */
static void strips_along(float *strips, const struct product *p, int64_t n0, int64_t k0, int64_t n, int64_t k)
{
    float row[PANEL_COLS] = {0};
    for (int64_t j = 0; j < k; j++) {
        load_row(row, operand_at(&p->b, n0, k0 + j), p->b.dtype, n, p->round);
        for (int64_t i = 0; i < n; i += COLUMNS)
            memcpy(strips + i * k + j * COLUMNS, row + i, COLUMNS * sizeof *row);
    }
}

void KERNEL(panel_strips)(float *strips, const struct product *p, const struct panel_piece *piece, int64_t first)
{
    const int64_t n0 = piece->n + first, n = min_i64(piece->cols - first, PANEL_COLS), k = piece->depth;
    float *to = strips + first * k;
    if (p->b.by_inner)
        strips_along(to, p, n0, piece->k, n, k);
    else
        for (int64_t i = 0; i < n; i += COLUMNS)
            strip_across(to + i * k, p, n0 + i, piece->k, min_i64(n - i, COLUMNS), k);
}

/* --- operand a: a block of rows, by strips of TILE_ROWS --- */

/* Element (i, k) of a strip is at + i * ai + k * ak; step: from one strip to the next. */
struct left {
    const float *at;
    int64_t ai, ak, step;
};

/* From memory rows that run over k: copied as it lies, since tiles read single elements along them. */
static struct left left_across(float *panel, const struct product *p, int64_t m0, int64_t k0, int64_t m, int64_t k)
{
    for (int64_t i = 0; i < m; i++)
        load_row(panel + i * k, operand_at(&p->a, m0 + i, k0), p->a.dtype, k, p->round);
    return (struct left){.at = panel, .ai = k, .ak = 1, .step = TILE_ROWS * k};
}

/* From memory rows that run over m: cut into strips, so that the elements of one lie together and not a row apart. */
static struct left left_along(float *panel, const struct product *p, int64_t m0, int64_t k0, int64_t m, int64_t k)
{
    float row[PANEL_ROWS] = {0};
    for (int64_t j = 0; j < k; j++) {
        load_row(row, operand_at(&p->a, m0, k0 + j), p->a.dtype, m, p->round);
        for (int64_t i = 0; i < m; i += TILE_ROWS)
            memcpy(panel + i * k + j * TILE_ROWS, row + i, TILE_ROWS * sizeof *row);
    }
    return (struct left){.at = panel, .ai = 1, .ak = TILE_ROWS, .step = TILE_ROWS * k};
}

/* Rows a multiple of 2 KiB apart fall into few sets of a cache and drive each other out: these are copied, too. */
static bool may_read_in_place(const struct product *p)
{
    return operand_is_direct(p, &p->a) && p->a.ld % 512 != 0;
}

static struct left load_left(float *panel, const struct product *p, int64_t m0, int64_t k0, int64_t m, int64_t k)
{
    if (p->a.by_inner)
        return left_along(panel, p, m0, k0, m, k);
    if (may_read_in_place(p))
        return (struct left){operand_at(&p->a, m0, k0), p->a.ld, 1, TILE_ROWS * p->a.ld};
    return left_across(panel, p, m0, k0, m, k);
}

/* --- the product --- */

static void copy_columns(float *to, int64_t ldto, const float *from, int64_t ldfrom, int64_t m, int64_t n)
{
    for (int64_t i = 0; i < m; i++)
        memcpy(to + i * ldto, from + i * ldfrom, (size_t)n * sizeof *to);
}

/* A full register tile, by itself: its loop holds nothing but loads and products. */
static __attribute__((noinline)) void full_tile(float *c, int64_t ldc, const float *a, int64_t ai, int64_t ak,
                                                const float *strip, int64_t k, bool accumulate)
{
    tile_gemm(TILE_ROWS, c, ldc, a, ai, ak, strip, COLUMNS, k, accumulate);
}

static void full_strip(float *c, int64_t ldc, const struct left *a, const float *strip, int64_t m, int64_t k,
                       bool accumulate)
{
    const float *at = a->at;
    int64_t i = 0;
    for (; i + TILE_ROWS <= m; i += TILE_ROWS, at += a->step)
        full_tile(c + i * ldc, ldc, at, a->ai, a->ak, strip, k, accumulate);
    if (i < m)
        block_gemm(c + i * ldc, ldc, at, a->ai, a->ak, strip, COLUMNS, m - i, COLUMNS, k, accumulate);
}

/* n <= COLUMNS columns of the block; fewer than COLUMNS go through edge. */
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

void KERNEL(panel_multiply)(const struct product *p, const struct panel_piece *piece, const float *strips,
                            float *workspace, int64_t m0, int64_t m, int64_t n0, int64_t n)
{
    float *edge = workspace, *panel = workspace + PANEL_ROWS * PANEL_COLUMN_STEP;
    const struct left a = load_left(panel, p, m0, piece->k, m, piece->depth);
    /* strip by strip, so that one stays in the L1 cache while the rows, which stay in the L2 cache, go by */
    for (int64_t i = 0; i < n; i += COLUMNS)
        strip_product(p->c + m0 * p->ldc + piece->n + n0 + i, p->ldc, &a, strips + (n0 + i) * piece->depth, edge, m,
                      min_i64(n - i, COLUMNS), piece->depth, p->accumulate || piece->k > 0);
}
