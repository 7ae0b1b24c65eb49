/* Conversions of elements: casts and the expansion of quantised blocks, as their formats define them.
 *
 * Rounding is to nearest even; NaN stays NaN; denormals are never flushed. */
#ifndef RETORT_KERN_QUANT_H
#define RETORT_KERN_QUANT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"

uint16_t f32_to_bf16(float x);
float bf16_to_f32(uint16_t x);
uint16_t f32_to_f16(float x);
float f16_to_f32(uint16_t x);

/* n elements. */
void convert_f32_to_bf16(uint16_t *y, const float *x, int64_t n);
void convert_bf16_to_f32(float *y, const uint16_t *x, int64_t n);
void convert_f32_to_f16(uint16_t *y, const float *x, int64_t n);
void convert_f16_to_f32(float *y, const uint16_t *x, int64_t n);

/* Whether elements of this type can be expanded by dequantize(). */
bool dequantize_knows(enum dtype type);

/* y[n] = the f32 values of n elements of any known type (F32, F16, BF16 and the GGUF blocks Q8_0, Q4_0, Q4_1, Q4_K,
 * Q6_K). n is a multiple of the type's block. Bit for bit what the `gguf` package gives. */
void dequantize(float *y, const void *x, enum dtype type, int64_t n);

#endif
