/* The three products by their definition: double sums, one element at a time. */
#include "kern/gemm.h"

#include "kern/quant.h"

static double operand(enum precision precision, const float *x, int64_t i)
{
    return precision == PRECISION_BF16 ? bf16_to_f32(f32_to_bf16(x[i])) : x[i];
}

static double weight(enum precision precision, struct matrix w, int64_t i)
{
    return w.dtype == DTYPE_BF16 ? bf16_to_f32(((const uint16_t *)w.data)[i]) : operand(precision, w.data, i);
}

void gemm_forward_ref(enum precision precision, float *y, int64_t ldy, const float *x, int64_t ldx, struct matrix w,
                      int64_t M, bool accumulate)
{
    for (int64_t m = 0; m < M; m++)
        for (int64_t n = 0; n < w.rows; n++) {
            double sum = accumulate ? y[m * ldy + n] : 0;
            for (int64_t k = 0; k < w.cols; k++)
                sum += operand(precision, x, m * ldx + k) * weight(precision, w, n * w.cols + k);
            y[m * ldy + n] = (float)sum;
        }
}

void gemm_backward_input_ref(enum precision precision, float *dx, int64_t ldx, const float *dy, int64_t ldy,
                             struct matrix w, int64_t M, bool accumulate)
{
    for (int64_t m = 0; m < M; m++)
        for (int64_t k = 0; k < w.cols; k++) {
            double sum = accumulate ? dx[m * ldx + k] : 0;
            for (int64_t n = 0; n < w.rows; n++)
                sum += operand(precision, dy, m * ldy + n) * weight(precision, w, n * w.cols + k);
            dx[m * ldx + k] = (float)sum;
        }
}

void gemm_backward_weight_ref(enum precision precision, float *dw, int64_t lddw, const float *dy, int64_t ldy,
                              const float *x, int64_t ldx, int64_t rows, int64_t cols, int64_t M)
{
    for (int64_t n = 0; n < rows; n++)
        for (int64_t k = 0; k < cols; k++) {
            double sum = dw[n * lddw + k];
            for (int64_t m = 0; m < M; m++)
                sum += operand(precision, dy, m * ldy + n) * operand(precision, x, m * ldx + k);
            dw[n * lddw + k] = (float)sum;
        }
}
