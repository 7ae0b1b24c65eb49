/* SwiGLU (Shazeer 2020): h = silu(gate) * up, silu(z) = z / (1 + exp(-z)). Elementwise over T rows of F values, each
 * array with its own row stride. */
#ifndef RETORT_KERN_OP_SWIGLU_H
#define RETORT_KERN_OP_SWIGLU_H

#include <stdint.h>

/* h may be gate or up. */
void swiglu_forward(float *h, int64_t ldh, const float *gate, int64_t ldg, const float *up, int64_t ldu, int64_t T,
                    int64_t F);
/* dgate = dL/dgate, dup = dL/dup (written, not accumulated: they are scratch of one layer). dgate may be gate, dup may
 * be up. */
void swiglu_backward(float *dgate, int64_t lddg, float *dup, int64_t lddu, const float *dh, int64_t lddh,
                     const float *gate, int64_t ldg, const float *up, int64_t ldu, int64_t T, int64_t F);

void swiglu_forward_ref(float *h, int64_t ldh, const float *gate, int64_t ldg, const float *up, int64_t ldu, int64_t T,
                        int64_t F);
void swiglu_backward_ref(float *dgate, int64_t lddg, float *dup, int64_t lddu, const float *dh, int64_t lddh,
                         const float *gate, int64_t ldg, const float *up, int64_t ldu, int64_t T, int64_t F);

#endif
