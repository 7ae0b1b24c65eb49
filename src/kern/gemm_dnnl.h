/* The engine over oneDNN: products of bf16 (f32 sums) on CPUs that have them. Private to kern.
 *
 * Operands are packed into dense panels of a few fixed sizes, padded with zeros, so that a handful of oneDNN primitives
 * serves every product: all are made at the start, and a refusal shows there and not in the middle of a step. */
#ifndef RETORT_KERN_GEMM_DNNL_H
#define RETORT_KERN_GEMM_DNNL_H

#include "base/err.h"
#include "kern/gemm_product.h"

struct gemm_dnnl;

/* dtype of the panels: BF16, or F32 (which every CPU can, for tests). NULL and ERR_ENVIRONMENT if oneDNN cannot, or
 * memory is short. */
struct gemm_dnnl *gemm_dnnl_new(enum dtype dtype, int threads, struct err *e);
void gemm_dnnl_free(struct gemm_dnnl *g);

/* How many tiles a product has; the tile of this number, on one thread. Tiles may be computed in any order. */
int64_t gemm_dnnl_tiles(const struct product *p);
void gemm_dnnl_tile(struct gemm_dnnl *g, const struct product *p, int64_t tile, int thread);

#endif
