/* One panel of an operand for an engine that multiplies whole panels. Private to kern; one thread. */
#ifndef RETORT_KERN_PANEL_PACK_H
#define RETORT_KERN_PANEL_PACK_H

#include <stdint.h>

#include "base/dtype.h"

/* to[to_rows, ld_to] of type to_type (F32, BF16) = from[rows, cols] (F32 or BF16, ld_from elements apart), zeros
 * beyond. */
void panel_pack(void *to, enum dtype to_type, int64_t ld_to, int64_t to_rows, const void *from, enum dtype from_type,
                int64_t ld_from, int64_t rows, int64_t cols);

#endif
