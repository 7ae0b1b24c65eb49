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
#pragma omp parallel for schedule(static) num_threads(kern_threads(T *w.cols))
    for (int64_t t = 0; t < T; t++)
        row_of(x + t * w.cols, w, (int64_t)ids[t] - first);
}

void KERNEL(embedding_backward)(float *dw, const float *dx, const uint32_t *ids, int64_t first, int64_t rows, int64_t T,
                                int64_t D)
{
#pragma omp parallel for schedule(static) num_threads(kern_threads(T *D))
    for (int64_t c = 0; c < D; c += COLUMNS)
        for (int64_t t = 0; t < T; t++) {
            const int64_t row = (int64_t)ids[t] - first, n = D - c < COLUMNS ? D - c : COLUMNS;
            if (row < 0 || row >= rows)
                continue;
            float *to = dw + row * D + c;
#pragma omp simd
            for (int64_t i = 0; i < n; i++)
                to[i] += dx[t * D + c + i];
        }
}
