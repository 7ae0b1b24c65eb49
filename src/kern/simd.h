/* Vectors of the instruction set at hand, through GCC's vector extensions, and exp() on one element or one vector.
 * Private to the kernels. */
#ifndef RETORT_KERN_SIMD_H
#define RETORT_KERN_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define VECTOR 16
#elif defined(__AVX2__)
#define VECTOR 8
#else
#define VECTOR 4
#endif

/* aligned(4): loads and stores anywhere; may_alias: through pointers to float */
typedef float vector __attribute__((vector_size(4 * VECTOR), aligned(4), may_alias));

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));

/* to[4,4] = from[4,4]^T; rows ldto and ldfrom apart */
static inline void transpose_4x4(float *to, int64_t ldto, const float *from, int64_t ldfrom)
{
    const quad a = *(const quad *)from, b = *(const quad *)(from + ldfrom);
    const quad c = *(const quad *)(from + 2 * ldfrom), d = *(const quad *)(from + 3 * ldfrom);
    const quad ab_lo = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_hi = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const quad cd_lo = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_hi = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(quad *)to = __builtin_shufflevector(ab_lo, cd_lo, 0, 1, 4, 5);
    *(quad *)(to + ldto) = __builtin_shufflevector(ab_lo, cd_lo, 2, 3, 6, 7);
    *(quad *)(to + 2 * ldto) = __builtin_shufflevector(ab_hi, cd_hi, 0, 1, 4, 5);
    *(quad *)(to + 3 * ldto) = __builtin_shufflevector(ab_hi, cd_hi, 2, 3, 6, 7);
}

static inline float float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t bits_of_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln(2) / 2. The polynomial is the minimax fit of (exp(r) - 1 - r) /
 * r^2 (relative error of exp 3e-9). Written so that a loop over it vectorises: no branch, no call. Returns exp(r). */
static inline float exp_reduced(float x, int32_t *n)
{
    const float round = 0x1.8p23f; /* adding it leaves the nearest integer in the low bits */
    const float inverse_ln2 = 0x1.715476p0f, ln2_hi = 0x1.62e4p-1f, ln2_lo = 0x1.7f7d1cp-20f;
    const float shifted = x * inverse_ln2 + round;
    const float whole = shifted - round;
    const float r = (x - whole * ln2_hi) - whole * ln2_lo;
    float p = 0x1.6a2434p-10f;
    p = p * r + 0x1.1239e2p-7f;
    p = p * r + 0x1.5558f2p-5f;
    p = p * r + 0x1.555492p-3f;
    p = p * r + 0x1.fffffcp-2f;
    *n = (int32_t)(bits_of_float(shifted) - bits_of_float(round));
    return p * (r * r) + r + 1.0f;
}

/* 2^n comes in two factors, since 2^128 and half of 2^-126 are no normal floats; where the product is below them the
 * result is 0. A NaN passes the comparisons unchanged. */
static inline float exp_one(float x)
{
    float c = x < -110.0f ? -110.0f : x;
    c = c > 90.0f ? 90.0f : c;
    int32_t n;
    const float p = exp_reduced(c, &n);
    const int32_t half = n >> 1;
    const float y = p * float_of_bits((uint32_t)(half + 127) << 23) * float_of_bits((uint32_t)(n - half + 127) << 23);
    return y < 0x1p-126f ? 0.0f : y;
}

/* The same for x <= 0 (or above it by rounding), as in a softmax: one factor will do, and that of n = -127 is 0. */
static inline float exp_nonpositive(float x)
{
    int32_t n;
    const float p = exp_reduced(x < -88.0f ? -88.0f : x, &n);
    return p * float_of_bits((uint32_t)(n + 127) << 23);
}

#endif
