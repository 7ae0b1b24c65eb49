/* Labels in flight from teachers to students, with permits that name sequence numbers.
 *
 * Items are numbered g = 0, 1, ... by a schedule that every rank knows (validation first, then the training sequences in
 * order). Teacher replica g mod Rt makes item g, student replica g mod Rs owns it. A student permits every teacher the
 * items up to g; a teacher sends in the order of g and waits for permission. Neither arrival order nor any window >= 1 can
 * deadlock: the smallest g not yet used is always permitted (SEMANTICS, Labels). Only leaders (stage 0, shard 0) call. */
#ifndef RETORT_LABEL_STREAM_H
#define RETORT_LABEL_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "par/groups.h"

struct stream;

/* Collective over world. first: the number of the first item that will be asked for (resume). */
struct stream *stream_new(const struct groups *g);
void stream_free(struct stream *s); /* Collective over world. */

/* Student leader: items < limit may be sent to me. Cheap to call with a limit that was given before. */
void stream_permit(struct stream *s, int64_t limit);
/* Student leader: the bytes of item g, which this replica owns, in the order of g; mem_free them. */
void *stream_take(struct stream *s, int64_t g, size_t *size, double *waited);

/* Teacher leader: waits until the owner of item g permits it. */
void stream_wait_permit(struct stream *s, int64_t g, double *waited);
/* Teacher leader: hands the bytes of item g over (mem_alloc'ed). Returns at once. */
void stream_send(struct stream *s, int64_t g, void *bytes, size_t size);

#endif
