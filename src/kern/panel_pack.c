#include "kern/panel_pack.h"

#include "kern/convert_inline.h"
#include "kern/kernel.h"

static void row_to_bf16(uint16_t *to, const void *from, enum dtype type, int64_t n)
{
    if (type == DTYPE_BF16) {
        memcpy(to, from, (size_t)n * sizeof *to);
        return;
    }
    const float *x = from;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        to[i] = bf16_round(x[i]);
}

static void row_to_f32(float *to, const void *from, enum dtype type, int64_t n)
{
    if (type == DTYPE_F32) {
        memcpy(to, from, (size_t)n * sizeof *to);
        return;
    }
    const uint16_t *x = from;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        to[i] = bf16_widen(x[i]);
}

void KERNEL(panel_pack)(void *to, enum dtype to_type, int64_t ld_to, int64_t to_rows, const void *from,
                        enum dtype from_type, int64_t ld_from, int64_t rows, int64_t cols)
{
    const int64_t to_size = dtype_block_bytes(to_type), from_size = dtype_block_bytes(from_type);
    for (int64_t r = 0; r < rows; r++) {
        char *row = (char *)to + r * ld_to * to_size;
        const char *source = (const char *)from + r * ld_from * from_size;
        if (to_type == DTYPE_BF16)
            row_to_bf16((uint16_t *)(void *)row, source, from_type, cols);
        else
            row_to_f32((float *)(void *)row, source, from_type, cols);
        memset(row + cols * to_size, 0, (size_t)((ld_to - cols) * to_size));
    }
    memset((char *)to + rows * ld_to * to_size, 0, (size_t)((to_rows - rows) * ld_to * to_size));
}
