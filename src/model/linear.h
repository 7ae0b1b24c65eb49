/* Linear layers of a block, sharded, with their adapters. Private to src/model.
 *
 * Column-parallel (q, k, v, gate, up): the input is whole, each shard makes its part of the output. Row-parallel (o,
 * down): each shard holds a part of the input and makes a part of every output's sum. An adapter's r-wide inner values
 * that need a sum over shards ride as extra columns in the layer's own sum (SEMANTICS, Parallel models). Traffic is
 * polled between products, for ranks that have no communication thread. */
#ifndef RETORT_MODEL_LINEAR_H
#define RETORT_MODEL_LINEAR_H

#include "model/tape.h"

/* One layer of a group that shares its input. slot: LIN_*. */
struct linear_use {
    const struct linear *l;
    int slot;
    float *y;     /* [T, out] of this shard: the output; on the way back its gradient */
    float *inner; /* [T, r]: where scale * A x goes and is found again */
};

/* The outputs of a group from x[T, in]. */
void linear_columns_forward(struct tape *t, const struct batch *b, const struct linear_use *uses, int count, int layer,
                            const float *x);

/* A row-parallel layer at the end of a branch: to = from + its whole output. to may be from. */
struct linear_row {
    const struct linear *l;
    int layer, slot;
    const float *x; /* [T, in]: this shard's part of the input */
    float *inner;   /* [T, r] */
    const float *from;
    float *to; /* both [T, hidden] */
};

/* The second waits for the sum over shards that the first has begun. */
void linear_row_start(struct tape *t, const struct batch *b, const struct linear_row *r);
void linear_row_finish(struct tape *t, const struct batch *b, const struct linear_row *r);

/* Whether the way back reads the layer's input: for the gradient of its weight or of its adapter's A. */
bool linear_reads_input(const struct linear *l);

/* Accumulates the gradients of the group's parameters and leaves dL/dx, summed over shards, in t->sum with row stride
 * *stride. x is the input that they shared, where one of them reads it. */
void linear_columns_backward(struct tape *t, const struct batch *b, const struct linear_use *uses, int count, int layer,
                             const float *x, int64_t *stride);

/* dx[T, in] of this shard = dL/dx given dy[T, hidden] (whole); accumulates the parameters' gradients. */
void linear_row_backward(struct tape *t, const struct batch *b, const struct linear *l, int layer, int slot, float *dx,
                         const float *dy, const float *x, const float *inner);

#endif
