/* oneDNN's matrix product for one fixed shape, with the differences between its versions 2 and 3 hidden. Private to
 * kern.
 *
 * A multiplication is made once, with everything that it needs for each of its threads, and then neither fails nor
 * allocates. Each run uses one thread: its result does not depend on how many run beside it. */
#ifndef RETORT_KERN_DNNL_SHIM_H
#define RETORT_KERN_DNNL_SHIM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/dtype.h"
#include "base/err.h"

/* c[m,n] = a[m,k] b[k,n], or += with accumulate. a and c are dense and row-major, a and b of type dtype (F32, BF16), c
 * is f32. b is as panel_pack_right makes it, n being 16 or 64; in bf16 it may be several panels of 64. */
struct dnnl_shape {
    int m, n, k;
    enum dtype dtype;
    bool accumulate;
};

struct dnnl_multiply;

/* NULL and ERR_ENVIRONMENT if oneDNN cannot do it on this CPU; the error quotes its status. */
struct dnnl_multiply *dnnl_multiply_new(const struct dnnl_shape *shape, int threads, struct err *e);
void dnnl_multiply_free(struct dnnl_multiply *x);

/* Bytes of scratch that a run needs, 64-byte aligned. */
size_t dnnl_multiply_scratch(const struct dnnl_multiply *x);

/* thread: 0 .. threads-1, one run at a time for each. Called where OpenMP gives one thread. */
void dnnl_multiply_run(struct dnnl_multiply *x, int thread, float *c, const void *a, const void *b, void *scratch);

#endif
