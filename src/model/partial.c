/* Gradients of which each shard has only a part: those of KV heads that query heads of two shards read, and those of
 * the q and k norms, which every head's shard adds to. Both are packed into one small buffer, summed, and put back. */
#include <string.h>

#include "base/assert.h"
#include "model/block.h"
#include "par/sum.h"

/* KV head j is on several shards if a cut between query heads falls inside its group. */
static bool is_shared(const struct model *m, int64_t j)
{
    int64_t group = m->config.heads / m->config.kv_heads;
    for (int p = 1; p < m->shard.count; p++) {
        int64_t cut = (int64_t)m->config.heads * p / m->shard.count;
        if (cut % group && cut / group == j)
            return true;
    }
    return false;
}

/* Calls visit(context, gradient, n) for each run of elements in an order that all shards share; gradient is NULL where
 * this shard does not hold the run. */
struct run {
    float *gradient;
    int64_t n;
};

static void visit_rows(const struct model *m, const struct param *p, void (*visit)(void *, struct run), void *context)
{
    int64_t D = m->config.head_dim, cols = param_local_cols(p);
    float *gradient = m->gradient + p->offset;
    for (int64_t j = 0; j < m->config.kv_heads; j++) {
        if (!is_shared(m, j))
            continue;
        bool here = j >= m->shard.kv_heads.first && j < m->shard.kv_heads.end;
        visit(context, (struct run){here ? gradient + (j - m->shard.kv_heads.first) * D * cols : NULL, D * cols});
    }
}

static void visit_layer(const struct model *m, int layer, void (*visit)(void *, struct run), void *context)
{
    for (int i = 0; i < m->param_count; i++) {
        const struct param *p = &m->params[i];
        if (p->layer != layer || !p->trainable || !param_is_partial(p, &m->shard))
            continue;
        if (p->row->rows == DIM_KV)
            visit_rows(m, p, visit, context);
        else
            visit(context, (struct run){m->gradient + p->offset, param_elements(p)});
    }
}

struct packing {
    float *buffer;
    int64_t at;
};

static void count_run(void *context, struct run r)
{
    *(int64_t *)context += r.n;
}

static void pack_run(void *context, struct run r)
{
    struct packing *k = context;
    if (r.gradient)
        memcpy(k->buffer + k->at, r.gradient, (size_t)r.n * sizeof(float));
    else
        memset(k->buffer + k->at, 0, (size_t)r.n * sizeof(float));
    k->at += r.n;
}

static void unpack_run(void *context, struct run r)
{
    struct packing *k = context;
    if (r.gradient)
        memcpy(r.gradient, k->buffer + k->at, (size_t)r.n * sizeof(float));
    k->at += r.n;
}

int64_t partial_size(const struct model *m)
{
    int64_t n = 0;
    if (m->trainable_count)
        visit_layer(m, 0, count_run, &n);
    return n;
}

void partial_sum(const struct model *m, int layer)
{
    struct packing k = {m->partial, 0};
    visit_layer(m, layer, pack_run, &k);
    if (!k.at)
        return;
    sum_f32(&m->shards, k.buffer, k.at);
    k.at = 0;
    visit_layer(m, layer, unpack_run, &k);
}
