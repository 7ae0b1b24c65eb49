#include "job/cache.h"

#include "base/clock.h"
#include "base/integer.h"
#include "base/log.h"
#include "base/mem.h"
#include "job/label_store.h"
#include "job/sequence_list.h"
#include "par/agree.h"
#include "par/failure.h"

#define PATIENCE_SECONDS 120.0 /* until a file that another host has synced is seen here: NFS may take a minute */

static bool leads(const struct context *c)
{
    return c->groups.me.role == ROLE_STUDENT && groups_leads(&c->groups);
}

/* --- what is there --- */

/* On the root: the sequences that the store has when the run begins. */
static int look(struct cache *k, const struct items *items, struct sequence_list *there, struct err *e)
{
    const char *directory = k->c->job->labels.store;
    struct store_description d;
    struct store *s;
    struct sequence_list missing;
    if (label_store_description(&d, k->c, true, e) || store_create(directory, &d, e) || store_open(&s, directory, e))
        return -1;
    label_store_warn(s, k->c->job);
    sequence_list_all(there, k->c->corpus);
    sequence_list_keep(there, s, true);
    sequence_list_of_items(&missing, items, k->c->corpus);
    const long long wanted = missing.count;
    sequence_list_keep(&missing, s, false);
    const bool writes = missing.count;
    log_info("labels.cache: %s has %lld of the %lld sequences that this run reads", directory,
             wanted - (long long)missing.count, wanted);
    sequence_list_release(&missing);
    store_close(s);
    return writes ? store_join(directory, k->owner, &k->generation, e) : 0;
}

static int64_t *written_of(const struct cache *k, uint64_t id)
{
    return &k->written[sequence_split(id)][sequence_index(id)];
}

static void mark(struct cache *k, const struct sequence_list *there)
{
    const struct corpus *corpus = k->c->corpus;
    for (enum split s = SPLIT_TRAIN; s < SPLIT_COUNT; s++) {
        const int64_t n = corpus_count(corpus, s);
        k->written[s] = mem_array((size_t)n + 1, sizeof *k->written[s]);
        for (int64_t i = 0; i < n; i++)
            k->written[s][i] = ITEM_NEVER;
        k->stored.written[s] = k->written[s];
    }
    for (int64_t i = 0; i < there->count; i++)
        *written_of(k, there->ids[i]) = ITEM_BEFORE;
}

/* The first item of a sequence writes its record. */
static void mark_item(struct cache *k, const struct items *items, int64_t item)
{
    const uint64_t id = items_sequence(items, k->c->corpus, item).id;
    int64_t *written = written_of(k, id);
    if (*written == ITEM_NEVER)
        *written = item;
    if (!items_is_stored(items, item))
        k->made_end = item + 1;
}

/* The step that ends the epoch in which this run begins, and the items by which it writes. */
static void plan(struct cache *k, struct items *items)
{
    const int64_t n = items->train.count, B = items->per_step, first = (items->first_step - 1) * B;
    const int64_t step = ceil_div((first / n + 1) * n, B), end = items_end(items);
    k->step = step < items->steps ? step : 0;
    k->stored.again = k->step ? items_of_step(items, k->step + 1) : end;
    items->stored = &k->stored;
    for (int64_t item = 0; item < items->validation; item++)
        mark_item(k, items, item);
    for (int64_t item = items_of_step(items, items->first_step); item < end; item++)
        mark_item(k, items, item);
}

static int open_files(struct cache *k, struct err *e)
{
    const struct context *c = k->c;
    const char *directory = c->job->labels.store;
    if (store_open(&k->store, directory, e))
        return -1;
    return k->generation ? store_append_new(&k->append, directory, k->generation, c->groups.me.replica, k->owner,
                                            STORE_FILE_MOST, e)
                         : 0;
}

int cache_open(struct cache *k, const struct context *c, struct items *items, struct err *e)
{
    const int root = c->groups.leader[ROLE_STUDENT][0];
    struct sequence_list there = {0};
    *k = (struct cache){.c = c, .owner = label_store_owner("job", c->job->name)};
    if (c->root)
        look(k, items, &there, e);
    if (!agree(c->world, e)) {
        sequence_list_broadcast(&there, c->world, root);
        comm_broadcast(c->world, &k->generation, sizeof k->generation, root);
        mark(k, &there);
        plan(k, items);
        if (leads(c))
            open_files(k, e);
        agree(c->world, e);
    }
    sequence_list_release(&there);
    return e->code == ERR_NONE ? 0 : -1;
}

void cache_close(struct cache *k)
{
    store_append_free(k->append);
    store_close(k->store);
    for (int s = 0; s < SPLIT_COUNT; s++)
        mem_free(k->written[s]);
    mem_free(k->owner);
    *k = (struct cache){0};
}

int64_t cache_last_streamed(const struct cache *k, const struct items *items)
{
    return max_i64(items->first_step, ceil_div(k->made_end - items->validation, items->per_step));
}

/* --- while the run goes on --- */

void cache_keep(struct cache *k, const struct sequence *s, int64_t item, const void *record, size_t size)
{
    struct err e = {0};
    if (*written_of(k, s->id) == item && store_append(k->append, record, size, &e))
        failure_raise(&e);
}

int cache_sync(struct cache *k, bool seal, struct err *e)
{
    if (k->append && !store_append_sync(k->append, e) && seal)
        store_append_seal(k->append, e);
    return agree(&k->c->groups.group, e);
}

/* The first sequence that this replica will want and does not find; NULL if none. mem_free it. */
static char *find_lacking(const struct cache *k, const struct items *items)
{
    const int64_t end = items_end(items);
    const int me = k->c->groups.me.replica;
    for (int64_t item = items_next_owned(items, me, k->stored.again - 1); item < end;
         item = items_next_owned(items, me, item)) {
        const uint64_t id = items_sequence(items, k->c->corpus, item).id;
        size_t size;
        if (items_is_stored(items, item) && !store_find(k->store, id, &size))
            return sequence_name(id);
    }
    return NULL;
}

static int look_again(struct cache *k, const struct items *items, struct err *e)
{
    const char *directory = k->c->job->labels.store;
    char *lacking = NULL;
    for (const double until = clock_seconds() + PATIENCE_SECONDS; clock_seconds() < until; clock_sleep(1)) {
        struct store *s;
        if (store_open(&s, directory, e))
            return -1;
        store_close(k->store);
        k->store = s;
        mem_free(lacking);
        lacking = find_lacking(k, items);
        if (!lacking)
            return 0;
    }
    err_set(e, ERR_INPUT, "labels.store: %s, which this run has written to %s, is not seen on this host after %.0f s",
            lacking, directory, PATIENCE_SECONDS);
    mem_free(lacking);
    return -1;
}

int cache_renew(struct cache *k, const struct items *items, int64_t step, struct err *e)
{
    if (!k->step || step != k->step)
        return 0;
    if (cache_sync(k, false, e))
        return -1;
    if (leads(k->c))
        look_again(k, items, e);
    if (agree(&k->c->groups.group, e))
        return -1;
    if (k->c->root)
        log_info("labels.cache: from step %lld on labels come from the store; the teacher rests", (long long)step + 1);
    return 0;
}
