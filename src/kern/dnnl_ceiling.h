/* oneDNN's best time for one product, whatever layout of the second operand it likes. Private to kern. */
#ifndef RETORT_KERN_DNNL_CEILING_H
#define RETORT_KERN_DNNL_CEILING_H

#include <stdint.h>

#include "base/dtype.h"
#include "base/err.h"
#include "kern/gemm.h"

struct dnnl_trial_shape {
    enum gemm_kind kind;
    enum dtype dtype;
    int64_t m, n, k;
};

/* A product made for `threads` threads, on memory of its own. NULL and ERR_ENVIRONMENT if oneDNN cannot do it here. */
struct dnnl_trial;
struct dnnl_trial *dnnl_trial_new(const struct dnnl_trial_shape *shape, int threads, struct err *e);
void dnnl_trial_free(struct dnnl_trial *t);
void dnnl_trial_run(struct dnnl_trial *t);

#endif
