#include "kern/op_swiglu.h"

#include "kern/kernel.h"
#include "kern/simd.h"
#include "kern/threads.h"

enum { WORK = 8 }; /* one element costs about as much as so many additions */

static inline float sigmoid(float z)
{
    return 1 / (1 + exp_one(-z));
}

static void forward_row(float *h, const float *gate, const float *up, int64_t F)
{
#pragma omp simd
    for (int64_t i = 0; i < F; i++)
        h[i] = gate[i] * sigmoid(gate[i]) * up[i];
}

void KERNEL(swiglu_forward)(float *h, int64_t ldh, const float *gate, int64_t ldg, const float *up, int64_t ldu,
                            int64_t T, int64_t F)
{
    KERN_FOR(t, T, T * F * WORK, forward_row(h + t * ldh, gate + t * ldg, up + t * ldu, F));
}

/* h_i = g s u, s = sigmoid(g): dh/dg = u s (1 + g (1 - s)), dh/du = g s */
static void backward_row(float *dgate, float *dup, const float *dh, const float *gate, const float *up, int64_t F)
{
#pragma omp simd
    for (int64_t i = 0; i < F; i++) {
        const float g = gate[i], u = up[i], s = sigmoid(g);
        dgate[i] = dh[i] * u * s * (1 + g * (1 - s));
        dup[i] = dh[i] * g * s;
    }
}

void KERNEL(swiglu_backward)(float *dgate, int64_t lddg, float *dup, int64_t lddu, const float *dh, int64_t lddh,
                             const float *gate, int64_t ldg, const float *up, int64_t ldu, int64_t T, int64_t F)
{
    KERN_FOR(t, T, T * F * WORK,
             backward_row(dgate + t * lddg, dup + t * lddu, dh + t * lddh, gate + t * ldg, up + t * ldu, F));
}

#ifdef KERN_ONCE

void swiglu_forward_ref(float *h, int64_t ldh, const float *gate, int64_t ldg, const float *up, int64_t ldu, int64_t T,
                        int64_t F)
{
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = 0; i < F; i++) {
            const double g = gate[t * ldg + i];
            h[t * ldh + i] = (float)(g / (1 + exp(-g)) * up[t * ldu + i]);
        }
}

void swiglu_backward_ref(float *dgate, int64_t lddg, float *dup, int64_t lddu, const float *dh, int64_t lddh,
                         const float *gate, int64_t ldg, const float *up, int64_t ldu, int64_t T, int64_t F)
{
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = 0; i < F; i++) {
            const double g = gate[t * ldg + i], u = up[t * ldu + i], d = dh[t * lddh + i], s = 1 / (1 + exp(-g));
            dgate[t * lddg + i] = (float)(d * u * s * (1 + g * (1 - s)));
            dup[t * lddu + i] = (float)(d * g * s);
        }
}

#endif
