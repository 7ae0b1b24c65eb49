/* Causal self-attention over packed documents, in blocks with a running softmax (Dao 2023, FlashAttention-2): a T x T
 * matrix never exists. Grouped queries: query head h reads key/value head kv_of[h].
 *
 *     s[i,j] = scale * q_i . k_j  for j <= i in i's document;  out_i = sum_j softmax(s_i)_j v_j;  lse_i = log sum_j
 * exp(s_ij)
 *
 * T tokens are cut into documents: document n is tokens [start[n], start[n+1]), start[documents] = T. Rows of q and out
 * hold H heads of D values, rows of k and v hold K heads; ld*: elements from one token to the next.
 * Threads share (document, head, block) items; no sum depends on their number, nor on what else is packed beside a
 * document. Not to be called inside a parallel region. */
#ifndef RETORT_KERN_OP_ATTENTION_H
#define RETORT_KERN_OP_ATTENTION_H

#include <stdint.h>

#include "kern/gemm.h"

/* Tokens that are computed together, counted from the start of their document. */
enum { ATTENTION_BLOCK = 64 };

struct attention_shape {
    int64_t T;
    int documents;
    const int32_t *start; /* [documents + 1]; forward takes a first document that starts at a negative multiple of
                             ATTENTION_BLOCK: what stands before row 0 of k and v is read, and nothing of it computed */
    int H, K, D;          /* D <= 256 */
    const int32_t *kv_of; /* [H]; each of the K is somebody's */
    int64_t ldq, ldk, ldv, ldo;
    int64_t ldl; /* of lse, from one head to the next */
    float scale;
    void *scratch; /* NULL: products in f32; else what attention_scratch says, and operands are rounded to bf16 */
    size_t scratch_size;
};

/* Bytes, 64-byte aligned, for up to T tokens of a model that computes in `precision`: 0 where that is f32 or the CPU
 * has no products of bf16. */
size_t attention_scratch(enum precision precision, int64_t T, int H, int K, int D, bool backward);

/* out[T,H,D], lse[H,T] (row stride ldl). */
void attention_forward(float *out, float *lse, const float *q, const float *k, const float *v,
                       const struct attention_shape *s);

/* dq[T,H,D], dk[T,K,D], dv[T,K,D] (strides as q, k, v) are written, given dout (stride ldo) and the forward's out and
 * lse. delta[H,T] is scratch. */
void attention_backward(float *dq, float *dk, float *dv, float *delta, const float *dout, const float *q,
                        const float *k, const float *v, const float *out, const float *lse,
                        const struct attention_shape *s);

/* One new token against n cached ones (itself included): out[H,D] from q[H,D], keys and values [n] rows of K heads. */
void attention_decode(float *out, const float *q, const float *keys, int64_t ldk, const float *values, int64_t ldv,
                      int64_t n, int H, int K, int D, const int32_t *kv_of, float scale);

void attention_forward_ref(float *out, float *lse, const float *q, const float *k, const float *v,
                           const struct attention_shape *s);
void attention_backward_ref(float *dq, float *dk, float *dv, float *delta, const float *dout, const float *q,
                            const float *k, const float *v, const float *out, const float *lse,
                            const struct attention_shape *s);

#endif
