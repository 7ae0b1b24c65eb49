/* Nonblocking messages inside par/: post them, then wait with the one loop that every wait of par/ uses. It yields,
 * because ranks may outnumber cores; it drives progress.h, because others may wait for what this rank has in its
 * buckets and mailboxes; and it watches for failures (failure.h). Nothing outside par/ includes this. */
#ifndef RETORT_PAR_REQUEST_H
#define RETORT_PAR_REQUEST_H

#include "par/comm.h"

/* Operations that may share a communicator. Order alone would match their messages; the tags make a mix-up (two ranks
 * in different sums) hang in a place that a debugger shows, where it would otherwise add the wrong numbers. */
enum request_tag {
    TAG_WHOLE = 1,
    TAG_SLICE,
    TAG_RESULT,
    TAG_FLIGHT,
    TAG_FLIGHT_RESULT,
    TAG_GATHER,
    TAG_BUCKET,
    TAG_OWNED,
    TAG_MAIL,
    TAG_CLAIM,
    TAG_CLAIM_ANSWER,
    TAG_FAILURE
};

/* The most bytes of one message: far below MPI's int. Larger ones are cut by the caller. */
#define REQUEST_BYTES_MAX ((size_t)1 << 30)

/* Local. size <= REQUEST_BYTES_MAX. */
MPI_Request request_send(const struct comm *c, const void *bytes, size_t size, int to, enum request_tag tag);
MPI_Request request_receive(const struct comm *c, void *bytes, size_t size, int from, enum request_tag tag);

/* Waits for all of them. Main thread only, without the progress lock. */
void request_wait(MPI_Request *requests, int count);

/* One round of a wait that is not over: spins, then yields, then sleeps; polls progress now and then. Start with 0. */
void request_pause(int *round);

#endif
