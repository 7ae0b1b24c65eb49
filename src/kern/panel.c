#include "kern/panel.h"

#include "kern/convert_inline.h"
#include "kern/kernel.h"

static void row_round(float *to, const float *from, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        to[i] = bf16_rounded(from[i]);
}

static void row_widen(float *to, const uint16_t *from, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        to[i] = bf16_widen(from[i]);
}

void KERNEL(panel_to_f32)(float *to, const void *from, enum dtype dtype, int64_t ld, int64_t rows, int64_t cols,
                          bool round)
{
    for (int64_t r = 0; r < rows; r++, to += cols)
        if (dtype == DTYPE_BF16)
            row_widen(to, (const uint16_t *)from + r * ld, cols);
        else if (round)
            row_round(to, (const float *)from + r * ld, cols);
        else
            memcpy(to, (const float *)from + r * ld, (size_t)cols * sizeof *to);
}
