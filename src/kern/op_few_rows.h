/* A product of few rows, one token's say: each row of the weight is read once, in place, which is all that it costs.
 * Private to kern. */
#ifndef RETORT_KERN_OP_FEW_ROWS_H
#define RETORT_KERN_OP_FEW_ROWS_H

#include "kern/gemm_product.h"

enum { FEW_ROWS = 4 };

/* c[M,N] (+)= x[M,K] b^T, M <= FEW_ROWS, with x as it counts (rounded already, if it is to be), b's rows running over
 * the sum. Each element is one sum, cut by K alone. */
void few_rows_multiply(const struct product *p, const float *x, int64_t ldx);

#endif
