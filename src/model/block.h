/* One block (attention, then MLP, each with its norm and residual), forward and backward. Private to src/model. */
#ifndef RETORT_MODEL_BLOCK_H
#define RETORT_MODEL_BLOCK_H

#include "model/tape.h"

struct kv_cache;

/* From blocks[layer].x_in to `to` (the next block's x_in, or the tape's x). cache NULL: attention inside the batch;
 * else the batch continues the cached document. */
void block_forward(struct tape *t, const struct batch *b, int layer, float *to, struct kv_cache *cache);

/* What block_backward reads, computed again from blocks[layer].x_in. */
void block_restore(struct tape *t, const struct batch *b, int layer);

/* t->dx: from the gradient of the block's output to that of its input. */
void block_backward(struct tape *t, const struct batch *b, int layer);

/* model_forward; cache as above (forward.c). */
void model_forward_cached(struct tape *t, const struct batch *b, struct kv_cache *cache);

/* Attention of a batch that continues a cached document: appends its keys and values (decode.c). */
void kv_cache_attention(struct kv_cache *c, const struct tape *t, const struct batch *b, int layer);

/* Sums over shards the gradients of the block's parameters of which each shard has a part (partial.c). */
void partial_sum(const struct model *m, int layer);
/* Floats that partial_sum needs as scratch (model.partial). */
int64_t partial_size(const struct model *m);

#endif
