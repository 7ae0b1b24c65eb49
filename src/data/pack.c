#include "data/pack.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/order.h"

void document_pool_release(struct document_pool *p)
{
    mem_free(p->ids);
    mem_free(p->supervised);
    mem_free(p->begins);
    mem_free(p->whole);
    *p = (struct document_pool){0};
}

static int64_t grown(int64_t room, int64_t needed)
{
    int64_t twice = 2 * room;
    return twice > needed ? twice : needed;
}

void document_pool_add(struct document_pool *p, const struct document *d)
{
    const int64_t n = (int64_t)d->ids.count;
    if (p->tokens + n > p->token_room) {
        p->token_room = grown(p->token_room, p->tokens + n);
        p->ids = mem_resize(p->ids, (size_t)p->token_room, sizeof *p->ids);
        p->supervised = mem_resize(p->supervised, (size_t)p->token_room, 1);
    }
    if (p->documents + 1 > p->document_room) {
        p->document_room = grown(p->document_room, p->documents + 1);
        p->begins = mem_resize(p->begins, (size_t)p->document_room + 1, sizeof *p->begins);
        p->whole = mem_resize(p->whole, (size_t)p->document_room, sizeof *p->whole);
    }
    if (n) {
        memcpy(p->ids + p->tokens, d->ids.ids, (size_t)n * sizeof *p->ids);
        memcpy(p->supervised + p->tokens, d->supervised, (size_t)n);
    }
    p->begins[p->documents] = p->tokens;
    p->whole[p->documents++] = d->whole;
    p->tokens += n;
    p->begins[p->documents] = p->tokens;
}

/* The sequence that is being filled. */
struct packer {
    struct corpus_writer *writer;
    enum split split;
    int length;
    int64_t next; /* index of this sequence */
    int tokens, documents;
    uint32_t *ids;             /* [length] */
    unsigned char *supervised; /* [length] */
    int32_t *starts;           /* [length + 1] */
    struct corpus_report *report;
};

static int packer_flush(struct packer *p, struct err *e)
{
    if (!p->documents)
        return 0;
    p->starts[p->documents] = p->tokens;
    struct sequence s = {.id = sequence_id(p->split, p->next++),
                         .tokens = p->tokens,
                         .documents = p->documents,
                         .ids = p->ids,
                         .starts = p->starts,
                         .supervised = p->supervised};
    for (int i = 0; i < s.tokens; i++)
        s.labels += s.supervised[i];
    s.input_hash = sequence_hash(&s);
    p->report->tokens += s.tokens;
    p->report->supervised += s.labels;
    p->tokens = p->documents = 0;
    return corpus_writer_add(p->writer, &s, e);
}

/* Appends n tokens, which fit, as a document of their own. */
static void packer_append(struct packer *p, const uint32_t *ids, const unsigned char *supervised, int n)
{
    p->starts[p->documents++] = p->tokens;
    memcpy(p->ids + p->tokens, ids, (size_t)n * sizeof *ids);
    memcpy(p->supervised + p->tokens, supervised, (size_t)n);
    p->supervised[p->tokens] = 0; /* the beginning of a rest was a target in the part before it */
    p->tokens += n;
}

/* A text: cut where a sequence is full. The rest repeats one token, so that the next one keeps what predicts it; a part
 * of one token would hold no target, so no such room is filled. */
static int pack_text(struct packer *p, const uint32_t *ids, const unsigned char *supervised, int64_t n, struct err *e)
{
    for (int64_t at = 0; n - at >= 2;) {
        if (p->length - p->tokens < 2 && packer_flush(p, e))
            return -1;
        const int64_t room = p->length - p->tokens, take = n - at < room ? n - at : room;
        packer_append(p, ids + at, supervised + at, (int)take);
        at += take - 1;
    }
    return 0;
}

static int pack_whole(struct packer *p, const uint32_t *ids, const unsigned char *supervised, int64_t n, struct err *e)
{
    if (n > p->length - p->tokens && packer_flush(p, e))
        return -1;
    packer_append(p, ids, supervised, (int)n);
    return 0;
}

static int pack_one(struct packer *p, const struct document_pool *pool, int64_t d, struct err *e)
{
    const uint32_t *ids = pool->ids + pool->begins[d];
    const unsigned char *supervised = pool->supervised + pool->begins[d];
    int64_t n = pool->begins[d + 1] - pool->begins[d];
    if (pool->whole[d] && n > p->length) {
        n = p->length;
        p->report->documents_cut++;
    }
    if (!n || !memchr(supervised, 1, (size_t)n)) {
        p->report->documents_dropped++;
        return 0;
    }
    p->report->documents++;
    return pool->whole[d] ? pack_whole(p, ids, supervised, n, e) : pack_text(p, ids, supervised, n, e);
}

int pack_documents(struct corpus_writer *w, enum split split, const struct document_pool *pool, int sequence_length,
                   uint64_t pack_seed, struct corpus_report *report, struct err *e)
{
    /* the counter names the purpose ("packing") and the split */
    struct rng_block k = rng_philox(pack_seed, split, 0x7061636b696e67);
    const uint64_t key = (uint64_t)k.v[0] << 32 | k.v[1];
    struct packer p = {.writer = w, .split = split, .length = sequence_length, .report = report};
    p.ids = mem_array((size_t)sequence_length, sizeof *p.ids);
    p.supervised = mem_array((size_t)sequence_length, 1);
    p.starts = mem_array((size_t)sequence_length + 1, sizeof *p.starts);

    int rc = 0;
    for (int64_t i = 0; i < pool->documents && !rc; i++)
        rc = pack_one(&p, pool, order_permute(key, i, pool->documents), e);
    if (!rc)
        rc = packer_flush(&p, e);
    mem_free(p.ids);
    mem_free(p.supervised);
    mem_free(p.starts);
    return rc;
}
