/* The engine over oneDNN: products of bf16 (f32 sums) on CPUs that have them, and of f32 where oneDNN knows the CPU's
 * vectors. Private to kern.
 *
 * Operands are packed into dense panels of a few fixed sizes, padded with zeros, once for all threads; so a handful of
 * oneDNN primitives serves every product: all are made at the start, and a refusal shows there and not in the middle of
 * a step. Panels stay in the caches while they are multiplied, where one product of the whole matrices would not: on
 * CPUs with tiles (AMX) that is worth a factor of two. */
#ifndef RETORT_KERN_GEMM_DNNL_H
#define RETORT_KERN_GEMM_DNNL_H

#include <stddef.h>

#include "base/err.h"
#include "kern/gemm_product.h"

struct gemm_dnnl;

/* dtype of the panels: BF16 or F32. NULL and ERR_ENVIRONMENT if oneDNN cannot, or memory is short. */
struct gemm_dnnl *gemm_dnnl_new(enum dtype dtype, int threads, struct err *e);
void gemm_dnnl_free(struct gemm_dnnl *g);

/* Products of one left side, p[0 .. count), on so many threads, at most those that it was made for. An element's sum is
 * cut by K alone: its bits depend on nothing else. */
void gemm_dnnl_multiply(struct gemm_dnnl *g, const struct product *p, int count, int threads);

/* A right side that stays: its panels, for b.panels of any number of products. They hold [N, K] of it. */
size_t gemm_dnnl_packed_size(const struct gemm_dnnl *g, int64_t N, int64_t K);
void gemm_dnnl_pack(const struct gemm_dnnl *g, void *panels, const struct operand *b, int64_t N, int64_t K,
                    int threads);

#endif
