/* RMS norm (Zhang and Sennrich 2019, eq. 4): y = x * r * g, r = 1 / sqrt(mean(x^2) + eps), the mean over one row.
 *
 * T rows of D values; ldx, ldy: elements from one row to the next. Also used per head (rows = tokens * heads) for the q
 * and k norms of Qwen3. Under tensor parallelism every shard holds whole rows, so nothing is reduced here. */
#ifndef RETORT_KERN_OP_RMS_NORM_H
#define RETORT_KERN_OP_RMS_NORM_H

#include <stdint.h>

/* y[T,D] from x[T,D] and gain g[D]; r[T] is kept for the backward. y may be x. */
void rms_norm_forward(float *r, float *y, int64_t ldy, const float *x, int64_t ldx, const float *g, float eps,
                      int64_t T, int64_t D);

/* dx[T,D] += dL/dx and dg[D] += dL/dg, given dy[T,D] and the forward's x, g, r. dg NULL: the gain is frozen. dx must
 * not overlap dy. The sum over rows in dg runs in the order of rows whatever the number of threads. */
void rms_norm_backward(float *dx, int64_t lddx, float *dg, const float *dy, int64_t lddy, const float *x, int64_t ldx,
                       const float *g, const float *r, int64_t T, int64_t D);

void rms_norm_forward_ref(float *r, float *y, int64_t ldy, const float *x, int64_t ldx, const float *g, float eps,
                          int64_t T, int64_t D);
void rms_norm_backward_ref(float *dx, int64_t lddx, float *dg, const float *dy, int64_t lddy, const float *x,
                           int64_t ldx, const float *g, const float *r, int64_t T, int64_t D);

#endif
