/* Contributions of all ranks through memory that they share: the transport of sum.h between the ranks of one host.
 * MPI's own messages copy twice there; here a rank writes its values once and the others read them in place.
 *
 * A communicator gets its window at its first sum and keeps it until comm_free. Collective; main thread only. Nothing
 * outside par/ includes this. */
#ifndef RETORT_PAR_WINDOW_H
#define RETORT_PAR_WINDOW_H

#include "par/combine.h"
#include "par/comm.h"

struct window;

/* The most bytes that go through at once: half a rank's area, small enough for the second-level cache. */
#define WINDOW_BYTES ((size_t)256 << 10)

/* NULL, on all ranks alike, if they are not all on one host, or if there is only one. */
struct window *window_of(const struct comm *c);

/* As in exchange.h; size and n * element <= WINDOW_BYTES. */
const void *const *window_whole(struct window *w, const void *x, size_t size);
void window_slices(struct window *w, void *x, int64_t n, size_t element, combine_function *combine);

/* Local. c, which has had no sum yet, gets no window: for tests of the messages, and to compare the two. */
void window_refuse(const struct comm *c);

#endif
