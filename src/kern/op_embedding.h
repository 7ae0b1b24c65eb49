/* Token embedding with a vocabulary shard: this rank holds rows first .. first + w.rows - 1 of the table. A token of
 * another shard gives a row of zeros, so that the sum over shards is the embedding. */
#ifndef RETORT_KERN_OP_EMBEDDING_H
#define RETORT_KERN_OP_EMBEDDING_H

#include <stdint.h>

#include "kern/gemm.h"

/* x[T,D] */
void embedding_forward(float *x, const uint32_t *ids, struct matrix w, int64_t first, int64_t T);
/* dw[rows,D] += dx rows, in the order of t whatever the number of threads. */
void embedding_backward(float *dw, const float *dx, const uint32_t *ids, int64_t first, int64_t rows, int64_t T,
                        int64_t D);

#endif
