#include "model/head.h"

#include "base/integer.h"
#include "base/mem.h"
#include "model/load.h"
#include "model/model.h"

/* A model of one parameter, so that it is found, read, checked and packed as in a whole one. */
struct head {
    struct model m;
    struct param p;
};

static int describe(struct head *h, struct range vocab, const char *key, struct err *e)
{
    struct model *m = &h->m;
    const enum param_role role = m->config.tie_word_embeddings ? PARAM_EMBED : PARAM_HEAD;
    if (shard_make(&m->shard, &m->config, 0, 1, key, &m->arena, e))
        return -1;
    param_describe(&h->p, &m->config, &m->shard, role, -1, PART_BASE, 0, &m->arena);
    h->p.rows = (struct range){vocab.first, max_i64(vocab.first, min_i64(vocab.end, m->config.vocab_size))};
    m->params = &h->p;
    m->param_count = 1;
    m->head = &h->p;
    return 0;
}

int head_open(struct head **out, const char *path, enum precision precision, struct range vocab, const char *key,
              struct err *e)
{
    struct head *h = mem_alloc(sizeof *h);
    arena_init(&h->m.arena);
    h->m.options = (struct model_options){.precision = precision, .forward_only = true};
    int rc = model_files_open(&h->m.files, path, e);
    if (!rc) {
        h->m.config = *model_files_config(h->m.files);
        rc = describe(h, vocab, key, e) || model_load(&h->m, e) ? -1 : 0;
    }
    if (rc) {
        err_prefix(e, "%s", key);
        head_close(h);
        return -1;
    }
    *out = h;
    return 0;
}

void head_close(struct head *h)
{
    if (!h)
        return;
    arena_release(&h->m.arena);
    model_files_close(h->m.files);
    mem_free(h);
}

struct matrix head_matrix(const struct head *h)
{
    return param_matrix(&h->p);
}
