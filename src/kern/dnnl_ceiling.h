/* oneDNN's best time for one product, whatever layout of the second operand it likes. Private to kern. */
#ifndef RETORT_KERN_DNNL_CEILING_H
#define RETORT_KERN_DNNL_CEILING_H

#include "base/err.h"
#include "kern/dnnl_shim.h"

/* A product made for `threads` threads, on memory of its own. NULL and ERR_ENVIRONMENT if oneDNN cannot do it here. */
struct dnnl_trial;
struct dnnl_trial *dnnl_trial_new(const struct dnnl_shape *shape, int threads, struct err *e);
void dnnl_trial_free(struct dnnl_trial *t);
void dnnl_trial_run(struct dnnl_trial *t);

#endif
