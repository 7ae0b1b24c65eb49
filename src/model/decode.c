/* One document at a time with its keys and values kept: what `generate` runs. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kern/op_attention.h"
#include "model/block.h"

#include <math.h>

struct kv_cache {
    const struct model *m;
    int64_t positions, used; /* room and tokens kept */
    int64_t width;           /* of this shard's keys of one token */
    float **keys, **values;  /* [layers]: [positions, width] */
    struct arena arena;
};

struct kv_cache *kv_cache_new(const struct model *m, int64_t positions, struct err *e)
{
    struct kv_cache *c = mem_alloc(sizeof *c);
    size_t L = (size_t)m->config.layers;
    c->m = m;
    c->positions = positions;
    c->width = m->shard.kv.end - m->shard.kv.first;
    arena_init(&c->arena);
    c->keys = arena_alloc(&c->arena, L, sizeof *c->keys);
    c->values = arena_alloc(&c->arena, L, sizeof *c->values);
    for (size_t i = 0; i < L; i++) {
        c->keys[i] = arena_try(&c->arena, (size_t)(positions * c->width), sizeof(float));
        c->values[i] = arena_try(&c->arena, (size_t)(positions * c->width), sizeof(float));
        if (!c->keys[i] || !c->values[i]) {
            err_set(e, ERR_ENVIRONMENT, "no memory for the keys and values of %lld tokens", (long long)positions);
            kv_cache_free(c);
            return NULL;
        }
    }
    return c;
}

void kv_cache_free(struct kv_cache *c)
{
    if (!c)
        return;
    arena_release(&c->arena);
    mem_free(c);
}

void kv_cache_attention(struct kv_cache *c, const struct tape *t, const struct batch *b, int layer)
{
    const struct shard *s = &c->m->shard;
    const struct block_tape *k = &t->blocks[layer];
    int64_t Q = s->q.end - s->q.first, D = c->m->config.head_dim;
    int H = (int)(s->heads.end - s->heads.first), K = (int)(s->kv_heads.end - s->kv_heads.first);
    size_t bytes = (size_t)(b->T * c->width) * sizeof(float);
    memcpy(c->keys[layer] + c->used * c->width, k->k, bytes);
    memcpy(c->values[layer] + c->used * c->width, k->v, bytes);
    float scale = 1 / sqrtf((float)D);
    for (int64_t i = 0; i < b->T; i++)
        attention_decode(k->attn + i * Q, k->q + i * Q, c->keys[layer], c->width, c->values[layer], c->width,
                         c->used + i + 1, H, K, (int)D, s->kv_of, scale);
}

void model_decode(const struct model *m, struct tape *t, struct kv_cache *c, const uint32_t *ids, int64_t n,
                  float *logits)
{
    ASSERT(n > 0 && n <= t->T && c->used + n <= c->positions && c->m == m);
    for (int64_t i = 0; i < n; i++)
        t->position[i] = (int32_t)(c->used + i);
    const int32_t start[2] = {0, (int32_t)n};
    struct batch b = {.T = n, .documents = 1, .ids = ids, .position = t->position, .start = start};
    model_forward_cached(t, &b, c);
    c->used += n;
    int32_t last = (int32_t)n - 1;
    model_final_norm(m, t, &last, 1, t->n);
    model_logits(m, t->n, 1, logits);
}
