/* AdamW on the own slices of the trainable buffer (ZeRO-1): every rank keeps the moments of what it owns in each
 * bucket, and the update is the same, bit for bit, as if one rank did all of it. */
#ifndef RETORT_LEARN_OPTIMIZER_H
#define RETORT_LEARN_OPTIMIZER_H

#include <stdint.h>

#include "kern/op_linear.h"
#include "model/model.h"
#include "par/bucket.h"

/* A run of elements that this rank owns: [first, end) of the trainable buffer, all of one parameter. */
struct owned_run {
    const struct param *p;
    int64_t first, end;
    int64_t state; /* where its moments begin in m and v */
};

struct optimizer {
    const struct model *model;
    struct owned_run *runs;
    int count;
    int64_t elements;
    float *m, *v; /* [elements] */
};

/* Local. Finds the runs that rank (of the buckets' communicator) owns; ERR_ENVIRONMENT if memory for moments is short.
 */
int optimizer_init(struct optimizer *o, const struct model *m, const struct buckets *k, int buckets, int rank,
                   struct err *e);
void optimizer_release(struct optimizer *o);

/* Local. Sum of squares of the reduced gradient over the owned runs, each element of a replica counted on one shard. */
double optimizer_sum_squares(const struct optimizer *o);

/* Local. One step on the owned runs; a.weight_decay applies to matrices alone. */
void optimizer_step(struct optimizer *o, const struct adamw *a);

#endif
