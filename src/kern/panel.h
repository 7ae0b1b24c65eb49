/* The engine for operands that are not f32 as they lie: bf16 weights, or f32 that counts as bf16, where the CPU has no
 * bf16 product. Private to kern.
 *
 * Operand b is packed into strips as wide as a register tile, a piece of it at a time, once for all threads; operand a
 * goes, a block of rows at a time, into the workspace of the thread that multiplies it. Both become f32 on the way, so
 * that conversion costs no pass over memory of its own. An element of the result is one sum in the order of k, wherever
 * its piece, its block and its tile begin: its bits depend on its row of a, its column of b and the instruction set. */
#ifndef RETORT_KERN_PANEL_H
#define RETORT_KERN_PANEL_H

#include "kern/gemm_product.h"

enum {
    PANEL_ROWS = 120,       /* most rows of a block, which fills half an L2 cache */
    PANEL_K = 576,          /* most of the sum in a piece */
    PANEL_STRIP = 9216,     /* most elements of a strip, which fills an L1 cache */
    PANEL_COLS = 128,       /* columns that are packed together */
    PANEL_GROUP = 2048,     /* most columns of a piece */
    PANEL_ROW_STEP = 12,    /* whole register tiles in every instruction set */
    PANEL_COLUMN_STEP = 32, /* whole strips in every instruction set */
    PANEL_WORKSPACE = PANEL_ROWS * (PANEL_K + PANEL_COLUMN_STEP), /* floats */
    PANEL_PIECE = PANEL_GROUP * PANEL_K                           /* floats */
};

/* A piece of a product: columns [n, n + cols) over [k, k + depth) of the sum. */
struct panel_piece {
    int64_t n, cols, k, depth;
};

/* The most of the sum that a piece may hold. */
int64_t panel_depth(void);

/* Packs columns [first, first + PANEL_COLS) of the piece, or those that are left, into strips, which hold all of it. */
void panel_strips(float *strips, const struct product *p, const struct panel_piece *piece, int64_t first);

/* Rows [m0, m0 + m) of the result, m <= PANEL_ROWS, in columns [n0, n0 + n) of the piece (n0 a multiple of
 * PANEL_COLUMN_STEP), on one thread. */
void panel_multiply(const struct product *p, const struct panel_piece *piece, const float *strips, float *workspace,
                    int64_t m0, int64_t m, int64_t n0, int64_t n);

#endif
