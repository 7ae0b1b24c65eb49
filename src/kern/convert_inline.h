/* Casts of one element, for the kernels to inline into their loops. Private to kern; written without branches, so that
 * they vectorise, and in integers, so that no mode of the FPU can flush a denormal. */
#ifndef RETORT_KERN_CONVERT_INLINE_H
#define RETORT_KERN_CONVERT_INLINE_H

#include "kern/simd.h"

static inline float bf16_widen(uint16_t x)
{
    return float_of_bits((uint32_t)x << 16);
}

/* To the nearest f32 that bf16 holds, ties to even; a NaN keeps its sign and upper payload and becomes quiet (rounding
 * could turn it into infinity). In 32 bits throughout: narrower lanes would cost more than the arithmetic. */
static inline uint32_t bf16_rounded_bits(float x)
{
    const uint32_t b = bits_of_float(x), rounded = b + 0x7FFFu + (b >> 16 & 1);
    return ((b & 0x7FFFFFFFu) > 0x7F800000u ? b | 0x400000u : rounded) & 0xFFFF0000u;
}

static inline float bf16_rounded(float x)
{
    return float_of_bits(bf16_rounded_bits(x));
}

static inline uint16_t bf16_round(float x)
{
    return (uint16_t)(bf16_rounded_bits(x) >> 16);
}

/* The same of what is no NaN, or one that arithmetic made. */
static inline uint16_t bf16_round_number(float x)
{
    const uint32_t b = bits_of_float(x);
    return (uint16_t)((b + 0x7FFFu + (b >> 16 & 1)) >> 16);
}

static inline float f16_widen(uint16_t x)
{
    const uint32_t sign = (uint32_t)(x & 0x8000) << 16, magnitude = x & 0x7FFFu;
    /* a denormal is magnitude * 2^-24, which f32 holds as a normal number */
    const uint32_t denormal = bits_of_float((float)(int32_t)magnitude * 0x1p-24f);
    const uint32_t normal = (magnitude << 13) + ((127 - 15) << 23);
    const uint32_t special = magnitude << 13 | 0x7F800000u | (magnitude > 0x7C00u ? 0x400000u : 0);
    return float_of_bits(sign | (magnitude < 0x400u ? denormal : magnitude < 0x7C00u ? normal : special));
}

static inline uint16_t f16_narrow(float x)
{
    const uint32_t b = bits_of_float(x), sign = b >> 16 & 0x8000u, a = b & 0x7FFFFFFFu;
    /* below 2^-14 the result counts units of 2^-24: adding 0.5 leaves them, rounded, in the low bits of the sum */
    const uint32_t denormal = bits_of_float(float_of_bits(a) + 0.5f) - bits_of_float(0.5f);
    const uint32_t normal = (a + 0xFFFu + (a >> 13 & 1) - ((127u - 15u) << 23)) >> 13;
    const uint32_t nan = 0x7E00u | (a >> 13 & 0x3FFu);
    const uint32_t finite = a < 0x38800000u ? denormal : a < 0x477FF000u ? normal : 0x7C00u;
    return (uint16_t)(sign | (a > 0x7F800000u ? nan : finite));
}

#endif
