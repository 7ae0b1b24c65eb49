/* See request.h. The figures below were chosen on shared memory: a sum of few values takes some microseconds, so the
 * loop spins first; a rank that waits for another one's computation gives its core away. */
#include "par/request.h"

#include <sched.h>

#include "base/assert.h"
#include "base/clock.h"
#include "par/progress.h"

enum {
    SPINS = 64,      /* rounds before the first yield: about 30 us */
    YIELDS = 4000,   /* rounds before the first sleep: some milliseconds */
    POLL_EVERY = 16, /* rounds between two polls of progress: one poll costs as much as a few rounds */
};
#define SLEEP_SECONDS 50e-6

static int narrow(size_t size)
{
    ASSERT(size <= REQUEST_BYTES_MAX);
    return (int)size;
}

MPI_Request request_send(const struct comm *c, const void *bytes, size_t size, int to, enum request_tag tag)
{
    MPI_Request r;
    MPI_Isend(bytes, narrow(size), MPI_BYTE, to, (int)tag, c->mpi, &r);
    return r;
}

MPI_Request request_receive(const struct comm *c, void *bytes, size_t size, int from, enum request_tag tag)
{
    MPI_Request r;
    MPI_Irecv(bytes, narrow(size), MPI_BYTE, from, (int)tag, c->mpi, &r);
    return r;
}

void request_pause(int *round)
{
    const int n = *round < YIELDS ? ++*round : YIELDS;
    if (n % POLL_EVERY == 0)
        progress_poll();
    if (n == YIELDS)
        clock_sleep(SLEEP_SECONDS);
    else if (n > SPINS)
        sched_yield();
}

void request_wait(MPI_Request *requests, int count)
{
    int round = 0;
    for (;;) {
        int done;
        MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE);
        if (done)
            return;
        request_pause(&round);
    }
}
