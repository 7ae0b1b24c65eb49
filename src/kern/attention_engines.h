/* The two ways in which attention runs, between which kern/attention.c chooses. Private to kern. Arguments are those of
 * op_attention.h. */
#ifndef RETORT_KERN_ATTENTION_ENGINES_H
#define RETORT_KERN_ATTENTION_ENGINES_H

#include "kern/block_bf16.h"
#include "kern/op_attention.h"

/* In f32, in registers. */
void attention_f32_forward(float *out, float *lse, const float *q, const float *k, const float *v,
                           const struct attention_shape *s);
void attention_f32_backward(float *dq, float *dk, float *dv, float *delta, const float *dout, const float *q,
                            const float *k, const float *v, const float *out, const float *lse,
                            const struct attention_shape *s);

/* Products by x: operands (q, k, v, dout, the softmax and its gradient) are rounded to bf16, all else is f32.
 * s->scratch must be there, of the size that attention_bf16_scratch says. */
size_t attention_bf16_scratch(int64_t T, int H, int K, int D, bool backward);
void attention_bf16_forward(const struct block_bf16 *x, float *out, float *lse, const float *q, const float *k,
                            const float *v, const struct attention_shape *s);
void attention_bf16_backward(const struct block_bf16 *x, float *dq, float *dk, float *dv, float *delta,
                             const float *dout, const float *q, const float *k, const float *v, const float *out,
                             const float *lse, const struct attention_shape *s);

#endif
