#include "job/sources.h"

#include <string.h>

#include "base/clock.h"
#include "base/integer.h"
#include "base/mem.h"
#include "job/sequence_list.h"
#include "par/failure.h"

static void *take_local(void *context, int64_t item, const struct sequence *s, size_t *size, double *waited)
{
    (void)item, (void)waited;
    struct teacher *t = context;
    void *bytes = teacher_label(t, s, size);
    comm_broadcast_buffer(teacher_shards(t), &bytes, size, 0);
    return bytes;
}

struct label_source source_local(struct teacher *t)
{
    return (struct label_source){.take = take_local, .context = t};
}

static void *take_streamed(void *context, int64_t item, const struct sequence *s, size_t *size, double *waited)
{
    (void)s;
    struct stream_source *from = context;
    void *bytes = NULL;
    if (groups_leads(from->groups))
        bytes = stream_take(from->stream, items_maker(from->items, item), item, size, waited);
    comm_broadcast_buffer(&from->groups->shards, &bytes, size, 0);
    return bytes;
}

static void permit_streamed(void *context, int64_t limit)
{
    struct stream_source *from = context;
    if (groups_leads(from->groups))
        stream_permit(from->stream, limit);
}

static double teacher_wait(void *context)
{
    struct stream_source *from = context;
    return groups_leads(from->groups) ? stream_teacher_wait(from->stream) : 0;
}

struct label_source source_stream(struct stream_source *s)
{
    return (struct label_source){take_streamed, permit_streamed, teacher_wait, s};
}

/* --- store --- */

enum { READ_AHEAD = 4 }; /* own items that the system is told of: a step's time each is more than a disk needs */

static void prefetch(const struct store_source *from, int64_t item)
{
    const int64_t end = items_end(from->items);
    for (int i = 0; i < READ_AHEAD; i++) {
        item = items_next_owned(from->items, from->groups->me.replica, item);
        if (item >= end)
            return;
        store_prefetch(from->store, items_sequence(from->items, from->corpus, item).id);
    }
}

/* All that the run reads was there when it began. */
static void *copy_record(const struct store_source *from, const struct sequence *s, size_t *size)
{
    struct err e = {0};
    const void *record = store_find(from->store, s->id, size);
    if (!record) {
        err_set(&e, ERR_INPUT, "labels.store: this rank does not find the labels of %s, which the first rank has found",
                sequence_name(s->id));
        failure_raise(&e);
    }
    void *bytes = mem_alloc(*size);
    memcpy(bytes, record, *size);
    return bytes;
}

static void *take_stored(void *context, int64_t item, const struct sequence *s, size_t *size, double *waited)
{
    struct store_source *from = context;
    void *bytes = NULL;
    const double began = clock_seconds();
    if (groups_leads(from->groups)) {
        bytes = copy_record(from, s, size);
        prefetch(from, item);
    }
    comm_broadcast_buffer(&from->groups->shards, &bytes, size, 0);
    *waited += clock_seconds() - began;
    return bytes;
}

struct label_source source_store(struct store_source *s)
{
    return (struct label_source){.take = take_stored, .context = s};
}

/* --- stream and store --- */

static void *take_cached(void *context, int64_t item, const struct sequence *s, size_t *size, double *waited)
{
    struct cached_source *from = context;
    struct stream_source *stream = &from->stream;
    struct store_source store = {from->cache->store, stream->groups, stream->items, from->corpus};
    if (items_is_stored(stream->items, item))
        return take_stored(&store, item, s, size, waited);
    void *bytes = take_streamed(stream, item, s, size, waited);
    if (groups_leads(stream->groups))
        cache_keep(from->cache, s, item, bytes, *size);
    return bytes;
}

/* Teachers that have made their last item take no more permits. */
static void permit_cached(void *context, int64_t limit)
{
    struct cached_source *from = context;
    permit_streamed(&from->stream, min_i64(limit, from->cache->made_end));
}

static double teacher_wait_cached(void *context)
{
    return teacher_wait(&((struct cached_source *)context)->stream);
}

struct label_source source_cached(struct cached_source *s)
{
    return (struct label_source){take_cached, permit_cached, teacher_wait_cached, s};
}

/* --- the teachers' side --- */

void serve_labels(struct teacher *t, struct stream *stream, const struct groups *g, const struct items *items,
                  const struct corpus *corpus)
{
    int64_t end = items_end(items);
    int me = g->me.replica;
    for (int64_t item = items_next_made(items, me, -1); item < end; item = items_next_made(items, me, item)) {
        int owner = items_owner(items, item);
        if (groups_leads(g))
            stream_wait_permit(stream, owner, item);
        struct sequence s = items_sequence(items, corpus, item);
        size_t size;
        void *bytes = teacher_label(t, &s, &size);
        if (groups_leads(g))
            stream_send(stream, owner, item, bytes, size);
    }
}
