/* See failure.h. One standing receive per rank on a communicator of its own; a failing rank sends its error to all.
 * Then all ranks meet in one nonblocking all-reduce, which tells each that everybody knows and picks the exit status.
 */
#include "par/failure.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "par/request.h"

#define PATIENCE_SECONDS 5.0

/* What travels: the error and the rank that had it. */
struct notice {
    int rank;
    struct err err;
};

static struct {
    bool started;
    atomic_bool leaving; /* one thread of this rank is on its way out */
    struct comm comm;
    pthread_t main_thread, leaver;
    void (*leave)(const struct err *e);
    MPI_Request standing;
    struct notice heard; /* where the standing receive puts another rank's notice */
    struct notice mine;  /* what this rank sends: must last until the process ends */
    int origin;          /* the rank whose failure this rank leaves for */
} failure;

void failure_start(const struct comm *world, void (*leave)(const struct err *e))
{
    ASSERT(!failure.started);
    comm_duplicate(&failure.comm, world);
    failure.main_thread = pthread_self();
    failure.leave = leave;
    failure.origin = world->rank;
    failure.standing =
        request_receive(&failure.comm, &failure.heard, sizeof failure.heard, MPI_ANY_SOURCE, TAG_FAILURE);
    failure.started = true;
}

void failure_stop(void)
{
    ASSERT(failure.started);
    comm_barrier(&failure.comm); /* the last place where a failure of this run may be heard of */
    failure.started = false;
    MPI_Cancel(&failure.standing);
    MPI_Wait(&failure.standing, MPI_STATUS_IGNORE);
    comm_free(&failure.comm);
}

/* Only the first thread tells and ends: the communication thread may run out of memory while the main thread leaves.
 * One that fails again on its way out has nothing left to try. */
static void claim_the_exit(enum err_code code)
{
    if (!atomic_exchange(&failure.leaving, true)) {
        failure.leaver = pthread_self();
        return;
    }
    if (pthread_equal(pthread_self(), failure.leaver))
        comm_abort(&failure.comm, (int)code);
    for (;;)
        pause();
}

void failure_watch(void)
{
    if (!failure.started || failure.leaving || !pthread_equal(pthread_self(), failure.main_thread))
        return;
    int came;
    MPI_Test(&failure.standing, &came, MPI_STATUS_IGNORE);
    if (!came)
        return;
    claim_the_exit(failure.heard.err.code);
    failure.origin = failure.heard.rank;
    failure.leave(&failure.heard.err);
    ASSERT(!"leave has returned");
}

void failure_raise(const struct err *e)
{
    ASSERT(failure.started && e->code != ERR_NONE);
    claim_the_exit(e->code);
    const struct comm *c = &failure.comm;
    struct notice *mine = &failure.mine;
    mine->rank = c->rank;
    mine->err = *e;
    if (c->size > 1)
        err_prefix(&mine->err, "rank %d", c->rank);
    log_error("%s", mine->err.text);
    for (int i = 1; i < c->size; i++) {
        MPI_Request r = request_send(c, mine, sizeof *mine, (c->rank + i) % c->size, TAG_FAILURE);
        MPI_Request_free(&r);
    }
    failure_leave(&mine->err);
}

/* True once all ranks have come here; *status is then that of the lowest rank that failed. */
static bool all_know(int *status)
{
    const struct comm *c = &failure.comm;
    struct {
        int rank, status;
    } mine = {failure.origin, *status}, first;
    MPI_Request r;
    MPI_Iallreduce(&mine, &first, 1, MPI_2INT, MPI_MINLOC, c->mpi, &r);
    const double until = clock_seconds() + PATIENCE_SECONDS;
    for (int done = 0; !done;) {
        MPI_Test(&r, &done, MPI_STATUS_IGNORE);
        if (!done && clock_seconds() > until)
            return false;
        if (!done)
            clock_sleep(1e-4);
    }
    *status = first.status;
    return true;
}

void failure_leave(const struct err *e)
{
    ASSERT(failure.started);
    failure.leaving = true;
    int status = (int)e->code;
    if (!all_know(&status))
        log_error("not all ranks have answered within %.0f s; ending the job. %s", PATIENCE_SECONDS, e->text);
    comm_abort(&failure.comm, status);
}
