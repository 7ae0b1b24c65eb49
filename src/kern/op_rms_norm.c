#include "kern/op_rms_norm.h"

#include <math.h>

#include "kern/kernel.h"
#include "kern/threads.h"

enum { COLUMNS = 16 }; /* of dg: what one thread sums over all rows */

static void forward_row(float *r, float *y, const float *x, const float *g, float eps, int64_t D)
{
    float s = 0;
#pragma omp simd reduction(+ : s)
    for (int64_t i = 0; i < D; i++)
        s += x[i] * x[i];
    *r = 1 / sqrtf(s / (float)D + eps);
    const float scale = *r;
#pragma omp simd
    for (int64_t i = 0; i < D; i++)
        y[i] = x[i] * scale * g[i];
}

void KERNEL(rms_norm_forward)(float *r, float *y, int64_t ldy, const float *x, int64_t ldx, const float *g, float eps,
                              int64_t T, int64_t D)
{
    KERN_FOR(t, T, T * D, forward_row(r + t, y + t * ldy, x + t * ldx, g, eps, D));
}

static void backward_row(float *dx, const float *dy, const float *x, const float *g, float r, int64_t D)
{
    /* r depends on every x of the row: dr/dx_i = -r^3 x_i / D, so the row shares one dot product */
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < D; i++)
        dot += dy[i] * g[i] * x[i];
    const float shared = dot * r * r * r / (float)D;
    /* y_i = x_i * r * g_i */
#pragma omp simd
    for (int64_t i = 0; i < D; i++)
        dx[i] += dy[i] * g[i] * r - x[i] * shared;
}

/* y_i = x_i * r * g_i, for COLUMNS columns from first on and all rows */
static void backward_gain(float *dg, const float *dy, int64_t lddy, const float *x, int64_t ldx, const float *r,
                          int64_t T, int64_t D, int64_t first)
{
    float sum[COLUMNS] = {0};
    const int64_t n = D - first < COLUMNS ? D - first : COLUMNS;
    for (int64_t t = 0; t < T; t++)
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            sum[i] += dy[t * lddy + first + i] * x[t * ldx + first + i] * r[t];
    for (int64_t i = 0; i < n; i++)
        dg[first + i] += sum[i];
}

void KERNEL(rms_norm_backward)(float *dx, int64_t lddx, float *dg, const float *dy, int64_t lddy, const float *x,
                               int64_t ldx, const float *g, const float *r, int64_t T, int64_t D)
{
    KERN_FOR(t, T, T * D, backward_row(dx + t * lddx, dy + t * lddy, x + t * ldx, g, r[t], D));
    if (dg)
        KERN_FOR(c, (D + COLUMNS - 1) / COLUMNS, T * D, backward_gain(dg, dy, lddy, x, ldx, r, T, D, c * COLUMNS));
}

#ifdef KERN_ONCE

void rms_norm_forward_ref(float *r, float *y, int64_t ldy, const float *x, int64_t ldx, const float *g, float eps,
                          int64_t T, int64_t D)
{
    for (int64_t t = 0; t < T; t++) {
        const float *xt = x + t * ldx;
        double s = 0;
        for (int64_t i = 0; i < D; i++)
            s += (double)xt[i] * xt[i];
        const double rt = 1 / sqrt(s / (double)D + (double)eps);
        r[t] = (float)rt;
        for (int64_t i = 0; i < D; i++)
            y[t * ldy + i] = (float)(xt[i] * rt * g[i]);
    }
}

void rms_norm_backward_ref(float *dx, int64_t lddx, float *dg, const float *dy, int64_t lddy, const float *x,
                           int64_t ldx, const float *g, const float *r, int64_t T, int64_t D)
{
    for (int64_t t = 0; t < T; t++) {
        const float *xt = x + t * ldx, *dyt = dy + t * lddy;
        const double rt = r[t];
        double dot = 0;
        for (int64_t i = 0; i < D; i++)
            dot += (double)dyt[i] * g[i] * xt[i];
        for (int64_t i = 0; i < D; i++) {
            const double d = dyt[i] * rt * g[i] - xt[i] * dot * rt * rt * rt / (double)D;
            dx[t * lddx + i] = (float)(dx[t * lddx + i] + d);
        }
    }
    for (int64_t i = 0; dg && i < D; i++) {
        double sum = dg[i];
        for (int64_t t = 0; t < T; t++)
            sum += (double)dy[t * lddy + i] * x[t * ldx + i] * r[t];
        dg[i] = (float)sum;
    }
}

#endif
