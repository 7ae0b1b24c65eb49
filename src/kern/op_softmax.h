/* The parts of a softmax over a (shard of a) vocabulary row, in f32 log space: maximum, sum of exponentials, and the
 * exponentials themselves. Rows of V values, ld apart. Vocabulary-parallel callers reduce max, then sum, over ranks. */
#ifndef RETORT_KERN_OP_SOFTMAX_H
#define RETORT_KERN_OP_SOFTMAX_H

#include <stdint.h>

/* max[T] = max_j z[t,j] * scale over the allowed j; -INFINITY if there is none. allowed: NULL (all), or a bit set, bit
 * j of word j / 64. */
void softmax_max(float *max, const float *z, int64_t ld, float scale, const uint64_t *allowed, int64_t T, int64_t V);

/* sum[T] = sum_j exp(z[t,j] * scale - max[t]) over the allowed j. */
void softmax_sum(float *sum, const float *z, int64_t ld, float scale, const float *max, const uint64_t *allowed,
                 int64_t T, int64_t V);

/* p[t,j] = exp(z[t,j] * scale - lse[t]), 0 where not allowed. p may be z. */
void softmax_probabilities(float *p, int64_t ldp, const float *z, int64_t ld, float scale, const float *lse,
                           const uint64_t *allowed, int64_t T, int64_t V);

/* y[j] = exp(x[j]); within 2 ulp of the true value down to the smallest normal number, 0 below it. */
void vector_exp(float *y, const float *x, int64_t n);

#endif
