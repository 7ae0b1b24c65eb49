/* labels.cache: streamed labels go to the label store as well, and what the store has is not made again: from a start
 * before, or by this run. Every rank must know which those are without asking, so there are two kinds: records that
 * were there when the run began (the root looks and tells), and from a fixed step on, the first that ends an epoch, all
 * that the run itself has read by then. At that step the students look into the store again.
 *
 * Each leader of a student replica appends what it takes. Nothing is written twice by one run. */
#ifndef RETORT_JOB_CACHE_H
#define RETORT_JOB_CACHE_H

#include "job/context.h"
#include "label/store.h"
#include "learn/items.h"

struct cache {
    const struct context *c;
    struct items_stored stored;
    int64_t *written[SPLIT_COUNT]; /* behind stored */
    int64_t made_end;              /* one past the last item that a teacher makes */
    int64_t step;                  /* after it the store is looked into again; 0: never */
    char *owner;
    int generation; /* of the files that this run writes; 0: it has nothing to write */
    /* leaders of student replicas */
    struct store *store;
    struct store_append *append;
};

/* Collective over world. items learn what is stored, and keep a pointer into the cache. */
int cache_open(struct cache *k, const struct context *c, struct items *items, struct err *e);
void cache_close(struct cache *k);

/* Local, on a leader of students: the record that it has taken for an item, if it is this item's to write. The disk's
 * trouble is failure_raise's. */
void cache_keep(struct cache *k, const struct sequence *s, int64_t item, const void *record, size_t size);

/* Collective over the student group, after step `step`: looks into the store again if this is the step for it. */
int cache_renew(struct cache *k, const struct items *items, int64_t step, struct err *e);

/* Local. The last step of which some label is streamed, and at least the first of the run: after it no teacher is
 * needed. The same on all ranks. */
int64_t cache_last_streamed(const struct cache *k, const struct items *items);

/* Collective over the student group. What was kept so far stays, whatever happens; seal: and no more will come. */
int cache_sync(struct cache *k, bool seal, struct err *e);

#endif
