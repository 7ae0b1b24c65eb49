/* How a kernel comes to exist once per instruction set: every op_*.c, panel*.c and convert.c is compiled for each level
 * of isa.h, with KERN_ISA as the suffix of its names, and isa.c calls the one in use through a table made from the list
 * below.
 *
 * Private to kern. A kernel is written as `void KERNEL(name)(...)`; callers outside see name(...) from its own header.
 * What exists once (references, tables) stands in the same file under #ifdef KERN_ONCE. */
#ifndef RETORT_KERN_KERNEL_H
#define RETORT_KERN_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"
#include "kern/attention_engines.h"
#include "kern/gemm.h"
#include "kern/gemm_product.h"
#include "kern/op_attention.h"
#include "kern/op_few_rows.h"
#include "kern/op_linear.h"
#include "kern/panel.h"
#include "kern/panel_pack.h"

/* X(result, name, parameters, arguments) */
#define KERNELS(X)                                                                                                     \
    X(void, rms_norm_forward,                                                                                          \
      (float *r, float *y, int64_t ldy, const float *x, int64_t ldx, const float *g, float eps, int64_t T, int64_t D), \
      (r, y, ldy, x, ldx, g, eps, T, D))                                                                               \
    X(void, rms_norm_backward,                                                                                         \
      (float *dx, int64_t lddx, float *dg, const float *dy, int64_t lddy, const float *x, int64_t ldx, const float *g, \
       const float *r, int64_t T, int64_t D),                                                                          \
      (dx, lddx, dg, dy, lddy, x, ldx, g, r, T, D))                                                                    \
    X(void, swiglu_forward,                                                                                            \
      (float *h, int64_t ldh, const float *gate, int64_t ldg, const float *up, int64_t ldu, int64_t T, int64_t F),     \
      (h, ldh, gate, ldg, up, ldu, T, F))                                                                              \
    X(void, swiglu_backward,                                                                                           \
      (float *dgate, int64_t lddg, float *dup, int64_t lddu, const float *dh, int64_t lddh, const float *gate,         \
       int64_t ldg, const float *up, int64_t ldu, int64_t T, int64_t F),                                               \
      (dgate, lddg, dup, lddu, dh, lddh, gate, ldg, up, ldu, T, F))                                                    \
    X(void, rope_apply,                                                                                                \
      (float *x, int64_t ldx, const int32_t *position, const float *cos_table, const float *sin_table, int direction,  \
       int64_t T, int64_t H, int64_t D),                                                                               \
      (x, ldx, position, cos_table, sin_table, direction, T, H, D))                                                    \
    X(void, softmax_max,                                                                                               \
      (float *max, const float *z, int64_t ld, float scale, const uint64_t *allowed, int64_t T, int64_t V),            \
      (max, z, ld, scale, allowed, T, V))                                                                              \
    X(void, softmax_sum,                                                                                               \
      (float *sum, const float *z, int64_t ld, float scale, const float *max, const uint64_t *allowed, int64_t T,      \
       int64_t V),                                                                                                     \
      (sum, z, ld, scale, max, allowed, T, V))                                                                         \
    X(void, softmax_probabilities,                                                                                     \
      (float *p, int64_t ldp, const float *z, int64_t ld, float scale, const float *lse, const uint64_t *allowed,      \
       int64_t T, int64_t V),                                                                                          \
      (p, ldp, z, ld, scale, lse, allowed, T, V))                                                                      \
    X(void, vector_exp, (float *y, const float *x, int64_t n), (y, x, n))                                              \
    X(void, attention_f32_forward,                                                                                     \
      (float *out, float *lse, const float *q, const float *k, const float *v, const struct attention_shape *s),       \
      (out, lse, q, k, v, s))                                                                                          \
    X(void, attention_f32_backward,                                                                                    \
      (float *dq, float *dk, float *dv, float *delta, const float *dout, const float *q, const float *k,               \
       const float *v, const float *out, const float *lse, const struct attention_shape *s),                           \
      (dq, dk, dv, delta, dout, q, k, v, out, lse, s))                                                                 \
    X(void, attention_bf16_forward,                                                                                    \
      (const struct block_bf16 *x, float *out, float *lse, const float *q, const float *k, const float *v,             \
       const struct attention_shape *s),                                                                               \
      (x, out, lse, q, k, v, s))                                                                                       \
    X(void, attention_bf16_backward,                                                                                   \
      (const struct block_bf16 *x, float *dq, float *dk, float *dv, float *delta, const float *dout, const float *q,   \
       const float *k, const float *v, const float *out, const float *lse, const struct attention_shape *s),           \
      (x, dq, dk, dv, delta, dout, q, k, v, out, lse, s))                                                              \
    X(void, attention_decode,                                                                                          \
      (float *out, const float *q, const float *keys, int64_t ldk, const float *values, int64_t ldv, int64_t n, int H, \
       int K, int D, const int32_t *kv_of, float scale),                                                               \
      (out, q, keys, ldk, values, ldv, n, H, K, D, kv_of, scale))                                                      \
    X(void, vector_add, (float *y, const float *x, int64_t n), (y, x, n))                                              \
    X(void, vector_axpy, (float *y, float a, const float *x, int64_t n), (y, a, x, n))                                 \
    X(void, vector_scale, (float *y, float a, int64_t n), (y, a, n))                                                   \
    X(void, rows_add,                                                                                                  \
      (float *y, int64_t ldy, const float *a, int64_t lda, const float *b, int64_t ldb, int64_t T, int64_t N),         \
      (y, ldy, a, lda, b, ldb, T, N))                                                                                  \
    X(void, rows_scale, (float *y, int64_t ldy, float a, const float *x, int64_t ldx, int64_t T, int64_t N),           \
      (y, ldy, a, x, ldx, T, N))                                                                                       \
    X(void, vector_round, (float *y, int64_t n), (y, n))                                                               \
    X(double, vector_sum, (const float *x, int64_t n), (x, n))                                                         \
    X(double, vector_dot, (const float *x, const float *y, int64_t n), (x, y, n))                                      \
    X(double, vector_sum_squares, (const float *x, int64_t n), (x, n))                                                 \
    X(int64_t, vector_count_not_finite, (const float *x, int64_t n), (x, n))                                           \
    X(void, bias_forward, (float *y, int64_t ldy, const float *b, int64_t T, int64_t N), (y, ldy, b, T, N))            \
    X(void, bias_backward, (float *db, const float *dy, int64_t lddy, int64_t T, int64_t N), (db, dy, lddy, T, N))     \
    X(void, dropout_apply,                                                                                             \
      (float *y, int64_t ldy, const float *x, int64_t ldx, float p, uint64_t key, uint64_t stream,                     \
       const uint64_t *place, int64_t first_feature, int64_t T, int64_t D),                                            \
      (y, ldy, x, ldx, p, key, stream, place, first_feature, T, D))                                                    \
    X(void, adamw_update, (float *w, float *m, float *v, const float *g, int64_t n, const struct adamw *a),            \
      (w, m, v, g, n, a))                                                                                              \
    X(void, embedding_forward, (float *x, const uint32_t *ids, struct matrix w, int64_t first, int64_t T),             \
      (x, ids, w, first, T))                                                                                           \
    X(void, embedding_backward,                                                                                        \
      (float *dw, const float *dx, const uint32_t *ids, int64_t first, int64_t rows, int64_t T, int64_t D),            \
      (dw, dx, ids, first, rows, T, D))                                                                                \
    X(void, convert_f32_to_bf16, (uint16_t * y, const float *x, int64_t n), (y, x, n))                                 \
    X(void, convert_bf16_to_f32, (float *y, const uint16_t *x, int64_t n), (y, x, n))                                  \
    X(void, convert_f32_to_f16, (uint16_t * y, const float *x, int64_t n), (y, x, n))                                  \
    X(void, convert_f16_to_f32, (float *y, const uint16_t *x, int64_t n), (y, x, n))                                   \
    X(void, dequantize, (float *y, const void *x, enum dtype type, int64_t n), (y, x, type, n))                        \
    X(void, few_rows_multiply, (const struct product *p, const float *x, int64_t ldx), (p, x, ldx))                    \
    X(int64_t, panel_depth, (void), ())                                                                                \
    X(void, panel_strips, (float *strips, const struct product *p, const struct panel_piece *piece, int64_t first),    \
      (strips, p, piece, first))                                                                                       \
    X(void, panel_multiply,                                                                                            \
      (const struct product *p, const struct panel_piece *piece, const float *strips, float *workspace, int64_t m0,    \
       int64_t m, int64_t n0, int64_t n),                                                                              \
      (p, piece, strips, workspace, m0, m, n0, n))                                                                     \
    X(void, panel_pack_left,                                                                                           \
      (void *to, enum dtype type, int64_t edge, int64_t to_depth, const struct operand *o,                             \
       const struct pack_part *part),                                                                                  \
      (to, type, edge, to_depth, o, part))                                                                             \
    X(void, panel_pack_right,                                                                                          \
      (void *to, enum dtype type, int64_t edge, int64_t to_depth, const struct operand *o,                             \
       const struct pack_part *part),                                                                                  \
      (to, type, edge, to_depth, o, part))                                                                             \
    X(void, panel_store,                                                                                               \
      (float *c, int64_t ldc, const float *from, int64_t ldfrom, int64_t m, int64_t n, bool accumulate),               \
      (c, ldc, from, ldfrom, m, n, accumulate))

#define KERN_DECLARE(result, name, parameters, arguments) \
    result name##_plain parameters;                       \
    result name##_avx2 parameters;                        \
    result name##_avx512 parameters;
KERNELS(KERN_DECLARE)
#undef KERN_DECLARE

#ifndef KERN_ISA
#define KERN_ISA plain
#define KERN_ONCE 1
#endif
#define KERN_PASTE(name, isa) name##_##isa
#define KERN_SUFFIX(name, isa) KERN_PASTE(name, isa)
#define KERNEL(name) KERN_SUFFIX(name, KERN_ISA)

#endif
