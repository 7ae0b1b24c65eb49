/* Casts of one element, for the kernels to inline into their loops. Private to kern; written without branches, so that
 * they vectorise, and in integers, so that no mode of the FPU can flush a denormal. */
#ifndef RETORT_KERN_CONVERT_INLINE_H
#define RETORT_KERN_CONVERT_INLINE_H

#include "kern/simd.h"

static inline float bf16_widen(uint16_t x)
{
    return float_of_bits((uint32_t)x << 16);
}

/* Nearest even; a NaN keeps its sign and upper payload and becomes quiet (rounding could turn it into infinity). */
static inline uint16_t bf16_round(float x)
{
    const uint32_t b = bits_of_float(x), nan = (b >> 16) | 0x40u, rounded = (b + 0x7FFFu + (b >> 16 & 1)) >> 16;
    return (uint16_t)((b & 0x7FFFFFFFu) > 0x7F800000u ? nan : rounded);
}

/* bf16_widen(bf16_round(x)) */
static inline float bf16_rounded(float x)
{
    return float_of_bits((uint32_t)bf16_round(x) << 16);
}

#endif
