/* The machine's own rate at one shape: the best time of the libraries' GEMM (OpenBLAS, oneDNN), called for nothing
 * else, weights in the layout that the library itself prefers. What `retort bench` holds the door's rate against. */
#ifndef RETORT_KERN_CEILING_H
#define RETORT_KERN_CEILING_H

#include <stdint.h>

#include "base/err.h"
#include "kern/gemm.h"

/* *seconds of the best of several products c[M,N] = a[M,K] b[K,N] with the door's threads. bf16 is measured in bf16
 * where the CPU multiplies it, else in f32. ERR_ENVIRONMENT if memory is short. */
int ceiling_measure(enum gemm_kind kind, enum precision precision, int64_t M, int64_t N, int64_t K, double *seconds,
                    struct err *e);

#endif
