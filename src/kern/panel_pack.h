/* Operands as an engine wants them that multiplies whole panels, of bf16 or of f32. Private to kern; one thread.
 *
 * The unit of a panel is a word of four bytes: an f32, or two bf16 that are neighbours along the sum. So a panel that
 * holds `depth` of the sum is depth words deep in f32 and half as many in bf16. */
#ifndef RETORT_KERN_PANEL_PACK_H
#define RETORT_KERN_PANEL_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "kern/gemm_product.h"

enum {
    PACK_DEPTH_STEP = 64, /* a panel's depth is a multiple of it, */
    PACK_DEPTH = 576,     /* at most this; its rows or columns are */
    PACK_EDGE_STEP = 16,  /* a multiple of this, */
    PACK_EDGE = 256       /* at most this */
};

/* A part of an operand: [outer, outer + count) over [inner, inner + depth) of the sum. */
struct pack_part {
    int64_t outer, count, inner, depth;
};

/* to[edge, words of to_depth] of type (F32, BF16): rows for the left side of a product. Zeros beyond the part. */
void panel_pack_left(void *to, enum dtype type, int64_t edge, int64_t to_depth, const struct operand *o,
                     const struct pack_part *part);

/* to[words of to_depth, edge]: columns for the right side. oneDNN calls it BA16a64b2a in bf16, where edge is 64. */
void panel_pack_right(void *to, enum dtype type, int64_t edge, int64_t to_depth, const struct operand *o,
                      const struct pack_part *part);

/* c[m,n] (+)= from[m,n], rows ldc and ldfrom apart. */
void panel_store(float *c, int64_t ldc, const float *from, int64_t ldfrom, int64_t m, int64_t n, bool accumulate);

#endif
