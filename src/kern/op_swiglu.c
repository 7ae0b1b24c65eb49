#include "kern/op_swiglu.h"

#include "kern/kernel.h"
#include "kern/simd.h"
#include "kern/threads.h"

enum { WORK = 8 }; /* one element costs about as much as so many additions */

static inline float sigmoid(float z)
{
    return 1 / (1 + exp_one(-z));
}

void KERNEL(swiglu_forward)(float *h, int64_t ldh, const float *gate, int64_t ldg, const float *up, int64_t ldu,
                            int64_t T, int64_t F)
{
#pragma omp parallel for schedule(static) num_threads(kern_threads(T *F *WORK))
    for (int64_t t = 0; t < T; t++) {
        float *ht = h + t * ldh;
        const float *gt = gate + t * ldg, *ut = up + t * ldu;
#pragma omp simd
        for (int64_t i = 0; i < F; i++)
            ht[i] = gt[i] * sigmoid(gt[i]) * ut[i];
    }
}

void KERNEL(swiglu_backward)(float *dgate, int64_t lddg, float *dup, int64_t lddu, const float *dh, int64_t lddh,
                             const float *gate, int64_t ldg, const float *up, int64_t ldu, int64_t T, int64_t F)
{
#pragma omp parallel for schedule(static) num_threads(kern_threads(T *F *WORK))
    for (int64_t t = 0; t < T; t++) {
        float *dgt = dgate + t * lddg, *dut = dup + t * lddu;
        const float *dht = dh + t * lddh, *gt = gate + t * ldg, *ut = up + t * ldu;
        /* h_i = g s u, s = sigmoid(g): dh/dg = u s (1 + g (1 - s)), dh/du = g s */
#pragma omp simd
        for (int64_t i = 0; i < F; i++) {
            const float g = gt[i], u = ut[i], s = sigmoid(g);
            dgt[i] = dht[i] * u * s * (1 + g * (1 - s));
            dut[i] = dht[i] * g * s;
        }
    }
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
