/* The engine for operands that are not f32 as they lie: bf16 weights, or f32 that counts as bf16, where the CPU has no
 * bf16 product. They become f32 on their way into panels, which are multiplied in registers; so conversion costs no
 * pass over memory of its own. Private to kern. */
#ifndef RETORT_KERN_PANEL_H
#define RETORT_KERN_PANEL_H

#include "kern/gemm_product.h"

enum {
    PANEL_ROWS = 256, /* most rows of a tile */
    PANEL_COLS = 128, /* columns of it at a time */
    PANEL_K = 256,    /* of the sum at a time: both panels fit a 512 KiB L2 cache, one strip of b half of an L1 cache */
    STRIP = 32,       /* most columns of a strip of b in any instruction set */
    PANEL_EXTRA = 16, /* rows beyond PANEL_ROWS that a's last strip may fill */
    PANEL_FLOATS = (PANEL_ROWS + PANEL_EXTRA) * PANEL_K + PANEL_COLS * PANEL_K + PANEL_ROWS * STRIP
};

/* The tile [m0, m0 + m) x [n0, n0 + n) of the product, m <= PANEL_ROWS, on one thread; workspace: PANEL_FLOATS. */
void panel_product(const struct product *p, float *workspace, int64_t m0, int64_t n0, int64_t m, int64_t n);

#endif
