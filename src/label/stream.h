/* Labels in flight from teachers to students, with permits that name sequence numbers.
 *
 * Items are numbered g = 0, 1, ... by a schedule that every rank knows (learn/items.h): who makes an item and who owns
 * it follows from its number, so callers name the other side. A student permits all teachers the items below a limit; a
 * teacher sends in the order of g and waits for permission. Neither arrival order nor any window >= 1 can deadlock: the
 * smallest item not yet used is always permitted (SEMANTICS, Labels). Only leaders (stage 0, shard 0) permit, take,
 * wait and send.
 *
 * A message is an envelope (item, seconds that its teacher has waited for permits so far) and the record's bytes. */
#ifndef RETORT_LABEL_STREAM_H
#define RETORT_LABEL_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "par/groups.h"

struct stream;

/* Collective over world. */
struct stream *stream_new(const struct groups *g);
void stream_free(struct stream *s); /* Collective over world. Permits that nobody waited for are dropped. */

/* Student leader: items < limit that I own may be made. Cheap to call with a limit that was given before. */
void stream_permit(struct stream *s, int64_t limit);
/* Student leader: the bytes of `item`, which teacher replica `maker` makes and this replica owns, in the order of items
 * of that maker; mem_free them. */
void *stream_take(struct stream *s, int maker, int64_t item, size_t *size, double *waited);
/* Student leader: seconds that the teachers have waited for permits, summed, as far as their messages have told. */
double stream_teacher_wait(const struct stream *s);

/* Teacher leader: waits until student replica `owner` permits the item. */
void stream_wait_permit(struct stream *s, int owner, int64_t item);
/* Teacher leader: hands the bytes of the item over (mem_alloc'ed). Returns at once. */
void stream_send(struct stream *s, int owner, int64_t item, void *bytes, size_t size);

/* Local. Bytes that wait here to be sent or taken (mailbox.h): at a student never more than what it has permitted. */
size_t stream_backlog(const struct stream *s);

#endif
