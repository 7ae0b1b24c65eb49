#include "kern/convert_inline.h"
#include "kern/kernel.h"
#include "kern/quant.h"

#include "base/assert.h"
#include "kern/threads.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

/* --- casts --- */

static void narrow_bf16(uint16_t *y, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = bf16_round(x[i]);
}

static void widen_bf16(float *y, const uint16_t *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = bf16_widen(x[i]);
}

static void narrow_f16(uint16_t *y, const float *x, int64_t n)
{
    int64_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(y + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
#endif
    for (; i < n; i++)
        y[i] = f16_narrow(x[i]);
}

static void widen_f16(float *y, const uint16_t *x, int64_t n)
{
    int64_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i))));
#endif
    for (; i < n; i++)
        y[i] = f16_widen(x[i]);
}

void KERNEL(convert_f32_to_bf16)(uint16_t *y, const float *x, int64_t n)
{
    KERN_FOR(c, kern_chunks(n), n, narrow_bf16(y + c * KERN_CHUNK, x + c * KERN_CHUNK, kern_chunk_size(c, n)));
}

void KERNEL(convert_bf16_to_f32)(float *y, const uint16_t *x, int64_t n)
{
    KERN_FOR(c, kern_chunks(n), n, widen_bf16(y + c * KERN_CHUNK, x + c * KERN_CHUNK, kern_chunk_size(c, n)));
}

void KERNEL(convert_f32_to_f16)(uint16_t *y, const float *x, int64_t n)
{
    KERN_FOR(c, kern_chunks(n), n, narrow_f16(y + c * KERN_CHUNK, x + c * KERN_CHUNK, kern_chunk_size(c, n)));
}

void KERNEL(convert_f16_to_f32)(float *y, const uint16_t *x, int64_t n)
{
    KERN_FOR(c, kern_chunks(n), n, widen_f16(y + c * KERN_CHUNK, x + c * KERN_CHUNK, kern_chunk_size(c, n)));
}

/* --- blocks of GGUF: products and sums in f32, each rounded, as the format's reference rounds them --- */

static float scale_at(const uint8_t *x)
{
    uint16_t half;
    memcpy(&half, x, sizeof half);
    return f16_widen(half);
}

/* f16 d; 32 x i8 q: y = q d */
static void block_q8_0(float *y, const uint8_t *x)
{
    const float d = scale_at(x);
    const int8_t *q = (const int8_t *)(x + 2);
#pragma omp simd
    for (int i = 0; i < 32; i++)
        y[i] = (float)q[i] * d;
}

/* f16 d; 16 bytes, low nibbles first: y = d (q - 8) */
static void block_q4_0(float *y, const uint8_t *x)
{
    const float d = scale_at(x);
#pragma omp simd
    for (int i = 0; i < 16; i++) {
        y[i] = d * (float)((x[2 + i] & 15) - 8);
        y[i + 16] = d * (float)((x[2 + i] >> 4) - 8);
    }
}

/* f16 d, f16 m; 16 bytes: y = d q + m */
static void block_q4_1(float *y, const uint8_t *x)
{
    const float d = scale_at(x), m = scale_at(x + 2);
#pragma omp simd
    for (int i = 0; i < 16; i++) {
        y[i] = d * (float)(x[4 + i] & 15) + m;
        y[i + 16] = d * (float)(x[4 + i] >> 4) + m;
    }
}

/* 6-bit scale and minimum j of 8, packed in 12 bytes: the first four of each whole, the others' upper two bits above
 * them */
static void scale_and_minimum(const uint8_t *packed, int j, int *scale, int *minimum)
{
    if (j < 4) {
        *scale = packed[j] & 63;
        *minimum = packed[j + 4] & 63;
    } else {
        *scale = (packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4;
        *minimum = packed[j + 4] >> 4 | (packed[j] >> 6) << 4;
    }
}

/* f16 d, f16 dmin; 12 bytes of scales; 4 groups of 32 bytes: low nibbles are sub-block 2g, high ones 2g + 1.
 * y = (d scale) q - (dmin minimum) */
static void block_q4_k(float *y, const uint8_t *x)
{
    const float d = scale_at(x), dmin = scale_at(x + 2);
    for (int j = 0; j < 8; j++) {
        int scale, minimum;
        scale_and_minimum(x + 4, j, &scale, &minimum);
        const float a = d * (float)scale, b = dmin * (float)minimum;
        const uint8_t *q = x + 16 + 32 * (j / 2);
        const int shift = 4 * (j % 2);
#pragma omp simd
        for (int i = 0; i < 32; i++)
            y[32 * j + i] = a * (float)(q[i] >> shift & 15) - b;
    }
}

/* 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 x i8 scales, f16 d: y = (d scale) (q - 32). Group j of 32
 * has its nibbles in bytes 64 (j / 4) + 32 (j % 2), its pairs in bytes 32 (j / 4). */
static void block_q6_k(float *y, const uint8_t *x)
{
    const int8_t *scales = (const int8_t *)(x + 192);
    const float d = scale_at(x + 208);
    for (int j = 0; j < 8; j++) {
        const uint8_t *low = x + 64 * (j / 4) + 32 * (j % 2), *high = x + 128 + 32 * (j / 4);
        const int low_shift = 4 * (j % 4 / 2), high_shift = 2 * (j % 4);
        for (int i0 = 0; i0 < 32; i0 += 16) {
            const float a = d * (float)scales[2 * j + i0 / 16];
#pragma omp simd
            for (int i = i0; i < i0 + 16; i++)
                y[32 * j + i] = a * (float)(((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) - 32);
        }
    }
}

typedef void expand(float *y, const uint8_t *x);

static expand *expander(enum dtype type)
{
    switch (type) {
    case DTYPE_Q8_0:
        return block_q8_0;
    case DTYPE_Q4_0:
        return block_q4_0;
    case DTYPE_Q4_1:
        return block_q4_1;
    case DTYPE_Q4_K:
        return block_q4_k;
    case DTYPE_Q6_K:
        return block_q6_k;
    default:
        return NULL;
    }
}

void KERNEL(dequantize)(float *y, const void *x, enum dtype type, int64_t n)
{
    if (type == DTYPE_F32) {
        memcpy(y, x, (size_t)n * sizeof *y);
        return;
    }
    if (type == DTYPE_F16) {
        KERNEL(convert_f16_to_f32)(y, x, n);
        return;
    }
    if (type == DTYPE_BF16) {
        KERNEL(convert_bf16_to_f32)(y, x, n);
        return;
    }
    expand *block = expander(type);
    ASSERT(block && n % dtype_block(type) == 0);
    const int64_t width = dtype_block(type), bytes = dtype_block_bytes(type);
    KERN_FOR(b, n / width, n, block(y + b * width, (const uint8_t *)x + b * bytes));
}
