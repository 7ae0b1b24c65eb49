/* Vector arithmetic that the model and the optimizer share. No sum depends on the number of threads: long sums are cut
 * into blocks of fixed size, whose partial sums are added in order. */
#ifndef RETORT_KERN_OP_LINEAR_H
#define RETORT_KERN_OP_LINEAR_H

#include <stdint.h>

void vector_add(float *y, const float *x, int64_t n);           /* y += x */
void vector_axpy(float *y, float a, const float *x, int64_t n); /* y += a x */
void vector_scale(float *y, float a, int64_t n);                /* y *= a */
double vector_sum(const float *x, int64_t n);                   /* on one thread, in f64 */
double vector_dot(const float *x, const float *y, int64_t n);   /* the same of products */
void vector_round(float *y, int64_t n);                         /* to the nearest that bf16 holds, ties to even */
double vector_sum_squares(const float *x, int64_t n);           /* in f64 */
int64_t vector_count_not_finite(const float *x, int64_t n);

/* On rows that stand ld* apart: y[T,N] = a + b, y[T,N] = a x. y may be a, or b, or x. */
void rows_add(float *y, int64_t ldy, const float *a, int64_t lda, const float *b, int64_t ldb, int64_t T, int64_t N);
void rows_scale(float *y, int64_t ldy, float a, const float *x, int64_t ldx, int64_t T, int64_t N);

/* y[T,N] += b[N] on every row; and its backward db[N] += sum over rows of dy, in the order of rows. */
void bias_forward(float *y, int64_t ldy, const float *b, int64_t T, int64_t N);
void bias_backward(float *db, const float *dy, int64_t lddy, int64_t T, int64_t N);

/* Inverted dropout: y = x * keep / (1 - p), keep = one Philox number per element keyed by (key, stream, place[t],
 * f = first_feature + i): number f % 4 of rng_philox(key, place[t], stream << 32 | f / 4), so that a shard of features
 * draws what the whole row would. stream < 2^32. Its own backward (the mask is drawn
 * again). y may be x. 0 <= p < 1. */
void dropout_apply(float *y, int64_t ldy, const float *x, int64_t ldx, float p, uint64_t key, uint64_t stream,
                   const uint64_t *place, int64_t first_feature, int64_t T, int64_t D);

/* One AdamW step (Loshchilov and Hutter 2019), as torch.optim.AdamW:  w *= 1 - lr*decay;  m = b1 m + (1-b1) g;
 * v = b2 v + (1-b2) g^2;  w -= lr / (1-b1^step) * m / (sqrt(v / (1-b2^step)) + eps).  g is first multiplied by scale
 * (clipping). step counts from 1. */
struct adamw {
    double learning_rate, beta1, beta2, eps, weight_decay;
    float scale;
    int64_t step;
};
void adamw_update(float *w, float *m, float *v, const float *g, int64_t n, const struct adamw *a);
void adamw_update_ref(float *w, float *m, float *v, const float *g, int64_t n, const struct adamw *a);

#endif
