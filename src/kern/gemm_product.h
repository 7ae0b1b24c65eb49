/* A GEMM as the door hands it to the engines below it. Private to kern. */
#ifndef RETORT_KERN_GEMM_PRODUCT_H
#define RETORT_KERN_GEMM_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"

/* An operand as it lies in memory, F32 or BF16. outer: the index of the result's row (a) or column (b); inner: that of
 * the sum. by_inner: rows in memory run over inner, so that outer is contiguous. */
struct operand {
    const void *data;
    enum dtype dtype;
    int64_t ld;
    bool by_inner;
    const void *panels; /* the same in an engine's own layout, or NULL; then data may be NULL */
};

/* c[M,N] (+)= sum over K of a[M,K] b[K,N]. round: f32 operands are rounded to bf16. */
struct product {
    float *c;
    int64_t ldc;
    struct operand a, b;
    int64_t M, N, K;
    bool accumulate, round;
};

/* Element (outer, inner). */
static inline const void *operand_at(const struct operand *o, int64_t outer, int64_t inner)
{
    const int64_t i = o->by_inner ? inner * o->ld + outer : outer * o->ld + inner;
    return o->dtype == DTYPE_BF16 ? (const void *)((const uint16_t *)o->data + i) : (const float *)o->data + i;
}

/* Whether an engine that multiplies f32 may read the operand where it lies. */
static inline bool operand_is_direct(const struct product *p, const struct operand *o)
{
    return o->dtype == DTYPE_F32 && !p->round;
}

#endif
