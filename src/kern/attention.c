/* Which attention runs: products in bf16 where the model computes in it and the CPU multiplies it. */
#include "kern/attention_engines.h"
#include "kern/gemm.h"

static const struct block_bf16 *blocks_of(const struct attention_shape *s)
{
    return s->scratch ? gemm_blocks() : NULL;
}

size_t attention_scratch(enum precision precision, int64_t T, int H, int K, int D, bool backward)
{
    return precision != PRECISION_F32 && gemm_blocks() ? attention_bf16_scratch(T, H, K, D, backward) : 0;
}

void attention_forward(float *out, float *lse, const float *q, const float *k, const float *v,
                       const struct attention_shape *s)
{
    const struct block_bf16 *x = blocks_of(s);
    if (x)
        attention_bf16_forward(x, out, lse, q, k, v, s);
    else
        attention_f32_forward(out, lse, q, k, v, s);
}

void attention_backward(float *dq, float *dk, float *dv, float *delta, const float *dout, const float *q,
                        const float *k, const float *v, const float *out, const float *lse,
                        const struct attention_shape *s)
{
    const struct block_bf16 *x = blocks_of(s);
    if (x)
        attention_bf16_backward(x, dq, dk, dv, delta, dout, q, k, v, out, lse, s);
    else
        attention_f32_backward(dq, dk, dv, delta, dout, q, k, v, out, lse, s);
}
