#include "kern/quant.h"

#include "kern/convert_inline.h"

/* One element at a time; convert.c does arrays of them. */

uint16_t f32_to_bf16(float x)
{
    return bf16_round(x);
}

float bf16_to_f32(uint16_t x)
{
    return bf16_widen(x);
}

uint16_t f32_to_f16(float x)
{
    return f16_narrow(x);
}

float f16_to_f32(uint16_t x)
{
    return f16_widen(x);
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
