/* The only door to a GEMM: bf16 (f32 accumulate) through oneDNN where the CPU has it, expanded panel by panel into f32
 * and multiplied here where it has not; f32 through oneDNN with AVX-512, through OpenBLAS without.
 *
 * All matrices are row-major. A result depends on shape, ISA and precision alone, never on the number of threads: the
 * libraries get fixed tiles (a function of the shape), each on one thread; panels sum every element in one order. The
 * libraries choose their kernels by the CPU (RETORT_ISA does not bind them; OPENBLAS_CORETYPE and DNNL_MAX_CPU_ISA do).
 * The environment variable RETORT_F32 (onednn, openblas, panels) overrides who multiplies f32. Nothing fails and
 * nothing is allocated after gemm_start. Not to be called from inside a parallel region. */
#ifndef RETORT_KERN_GEMM_H
#define RETORT_KERN_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/err.h"

/* How a model computes: what its GEMM operands are rounded to. Sums are f32 always. */
enum precision { PRECISION_F32, PRECISION_BF16, PRECISION_INT8, PRECISION_NF4 };

/* A weight as it lies in memory, borrowed: rows = outputs, cols = inputs. dtype F32 or BF16. */
struct matrix {
    const void *data;
    enum dtype dtype;
    int64_t rows, cols;
    const void *packed; /* by gemm_pack, or NULL; with it gemm_forward does without data */
};

/* Gives the door and all kernels their threads and the door its workspaces; parallel regions of the calling thread get
 * as many. Decides, once and in the log, how bf16 is multiplied (oneDNN, or panels of f32), so isa_use() comes before
 * it. -1 (ERR_ENVIRONMENT) if memory is short. Call again to change. Until then kernels run on one thread. */
int gemm_start(int threads, struct err *e);
int gemm_threads(void);
bool gemm_multiplies_bf16(void); /* in the CPU's own bf16 instructions, not in panels of f32 */
struct block_bf16;
const struct block_bf16 *gemm_blocks(void); /* for the products of attention; NULL: the CPU has none of bf16 */
void gemm_stop(void);

/* y[M,rows] = x[M,cols] w^T; with accumulate y += . ldx, ldy: elements from one row to the next. M may be 0.
 * precision BF16: x and w are rounded to bf16 (nearest even) on their way in. */
void gemm_forward(enum precision precision, float *y, int64_t ldy, const float *x, int64_t ldx, struct matrix w,
                  int64_t M, bool accumulate);

/* The same for several weights of one input, which it then prepares once. */
enum { GEMM_OUTPUTS_MAX = 8 };
struct gemm_output {
    float *y;
    int64_t ldy;
    struct matrix w;
    bool accumulate;
};
void gemm_forward_each(enum precision precision, const struct gemm_output *outputs, int count, const float *x,
                       int64_t ldx, int64_t M);

/* A weight that never changes, once for all in the layout that gemm_forward likes best: bytes of it (0: it likes what
 * lies in memory as well), 64-byte aligned. Results have the same bits. */
size_t gemm_packed_size(enum precision precision, int64_t rows, int64_t cols);
void gemm_pack(enum precision precision, void *to, struct matrix w);

/* dx[M,cols] = dy[M,rows] w; with accumulate dx += . */
void gemm_backward_input(enum precision precision, float *dx, int64_t ldx, const float *dy, int64_t ldy,
                         struct matrix w, int64_t M, bool accumulate);

/* dw[rows,cols] += dy[M,rows]^T x[M,cols]. lddw: elements from one row of dw to the next. */
void gemm_backward_weight(enum precision precision, float *dw, int64_t lddw, const float *dy, int64_t ldy,
                          const float *x, int64_t ldx, int64_t rows, int64_t cols, int64_t M);

/* Each product that comes through the door, as c[M,N] = a[M,K] b[K,N], and how long it took: for `retort bench`. */
enum gemm_kind { GEMM_FORWARD, GEMM_BACKWARD_INPUT, GEMM_BACKWARD_WEIGHT };
struct gemm_call {
    enum gemm_kind kind;
    enum precision precision;
    int64_t M, N, K;
    double seconds;
};
/* seen NULL: nobody watches. */
void gemm_watch(void (*seen)(void *context, const struct gemm_call *call), void *context);

/* The definitions: double sums, one element at a time. */
void gemm_forward_ref(enum precision precision, float *y, int64_t ldy, const float *x, int64_t ldx, struct matrix w,
                      int64_t M, bool accumulate);
void gemm_backward_input_ref(enum precision precision, float *dx, int64_t ldx, const float *dy, int64_t ldy,
                             struct matrix w, int64_t M, bool accumulate);
void gemm_backward_weight_ref(enum precision precision, float *dw, int64_t lddw, const float *dy, int64_t ldy,
                              const float *x, int64_t ldx, int64_t rows, int64_t cols, int64_t M);

#endif
