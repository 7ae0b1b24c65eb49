#include "kern/op_embedding.h"

#include <string.h>

#include "base/assert.h"
#include "kern/kernel.h"
#include "kern/quant.h"
#include "kern/threads.h"

enum { COLUMNS = 64 }; /* of dw: what one thread adds over all tokens */

static void row_of(float *x, struct matrix w, int64_t row)
{
    if (row < 0 || row >= w.rows)
        memset(x, 0, (size_t)w.cols * sizeof *x);
    else if (w.dtype == DTYPE_F32)
        memcpy(x, (const float *)w.data + row * w.cols, (size_t)w.cols * sizeof *x);
    else
        KERNEL(convert_bf16_to_f32)(x, (const uint16_t *)w.data + row * w.cols, w.cols);
}

void KERNEL(embedding_forward)(float *x, const uint32_t *ids, struct matrix w, int64_t first, int64_t T)
{
    ASSERT(w.dtype == DTYPE_F32 || w.dtype == DTYPE_BF16);
    KERN_FOR(t, T, T * w.cols, row_of(x + t * w.cols, w, (int64_t)ids[t] - first));
}

/* Columns [c, c + COLUMNS) of all tokens. */
static void add_columns(float *dw, const float *dx, const uint32_t *ids, int64_t first, int64_t rows, int64_t T,
                        int64_t D, int64_t c)
{
    const int64_t n = D - c < COLUMNS ? D - c : COLUMNS;
    for (int64_t t = 0; t < T; t++) {
        const int64_t row = (int64_t)ids[t] - first;
        if (row < 0 || row >= rows)
            continue;
        float *to = dw + row * D + c;
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            to[i] += dx[t * D + c + i];
    }
}

void KERNEL(embedding_backward)(float *dw, const float *dx, const uint32_t *ids, int64_t first, int64_t rows, int64_t T,
                                int64_t D)
{
    KERN_FOR(c, (D + COLUMNS - 1) / COLUMNS, T * D, add_columns(dw, dx, ids, first, rows, T, D, c * COLUMNS));
}
