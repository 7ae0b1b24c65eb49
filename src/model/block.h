/* One block (attention, then MLP, each with its norm and residual), forward and backward. Private to src/model. */
#ifndef RETORT_MODEL_BLOCK_H
#define RETORT_MODEL_BLOCK_H

#include "model/tape.h"

struct kv_cache;

/* Forward comes in parts, attention and MLP of each block in turn: part 2 * layer, then 2 * layer + 1. The second
 * function waits for the sum over shards that the first has begun; after the last part of a block its output stands
 * where tape_output says. cache NULL: attention inside the batch; else the batch continues the cached document. */
void block_start(struct tape *t, const struct batch *b, int part, struct kv_cache *cache);
void block_finish(struct tape *t, const struct batch *b, int part);

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
