/* Panels: rectangles of a GEMM's operands, copied into a workspace in the type and precision that the engine below
 * multiplies. Private to kern; one thread. */
#ifndef RETORT_KERN_PANEL_H
#define RETORT_KERN_PANEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"

/* to[rows, cols], dense, from rows that lie ld elements apart: F32 or BF16 becomes f32; with round, f32 of bf16's values. */
void panel_to_f32(float *to, const void *from, enum dtype dtype, int64_t ld, int64_t rows, int64_t cols, bool round);

#endif
