#include "kern/quant.h"

#include <string.h>

/* One element at a time. convert.c holds the same for arrays. */

uint16_t f32_to_bf16(float x)
{
    uint16_t y;
    convert_f32_to_bf16(&y, &x, 1);
    return y;
}

float bf16_to_f32(uint16_t x)
{
    float y;
    convert_bf16_to_f32(&y, &x, 1);
    return y;
}

uint16_t f32_to_f16(float x)
{
    uint16_t y;
    convert_f32_to_f16(&y, &x, 1);
    return y;
}

float f16_to_f32(uint16_t x)
{
    float y;
    convert_f16_to_f32(&y, &x, 1);
    return y;
}

bool dequantize_knows(enum dtype type)
{
    switch (type) {
    case DTYPE_F32:
    case DTYPE_F16:
    case DTYPE_BF16:
    case DTYPE_Q8_0:
    case DTYPE_Q4_0:
    case DTYPE_Q4_1:
    case DTYPE_Q4_K:
    case DTYPE_Q6_K:
        return true;
    default:
        return false;
    }
}
