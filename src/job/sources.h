/* The places where a running job's labels come from: the teacher in the same ranks, a stream from the teacher group, or
 * a store that an earlier job has filled. All end in the same bytes (SEMANTICS: local labels go through encode and
 * decode as well). */
#ifndef RETORT_JOB_SOURCES_H
#define RETORT_JOB_SOURCES_H

#include "job/cache.h"
#include "label/store.h"
#include "label/stream.h"
#include "learn/items.h"
#include "learn/teacher.h"
#include "learn/trainer.h"

/* labels.source local: every replica of students runs the teacher on its own shards. */
struct label_source source_local(struct teacher *t);

/* labels.source stream: shard 0 of a student replica takes the record and gives its bytes to the other shards. */
struct stream_source {
    struct stream *stream;
    const struct groups *groups;
    const struct items *items;
};
struct label_source source_stream(struct stream_source *s);

/* labels.source: store: shard 0 of a student replica reads the record and gives its bytes to the other shards. */
struct store_source {
    const struct store *store; /* on leaders */
    const struct groups *groups;
    const struct items *items;
    const struct corpus *corpus;
};
struct label_source source_store(struct store_source *s);

/* labels.cache: as a stream, but for items that the store has. */
struct cached_source {
    struct stream_source stream;
    struct cache *cache;
    const struct corpus *corpus;
};
struct label_source source_cached(struct cached_source *s);

/* The teacher group's whole work in a distillation: makes, in order, every item that falls to this replica. */
void serve_labels(struct teacher *t, struct stream *stream, const struct groups *g, const struct items *items,
                  const struct corpus *corpus);

#endif
