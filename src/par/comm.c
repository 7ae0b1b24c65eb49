/* See comm.h. Collectives here are MPI's own nonblocking ones under par/'s wait loop, so that a rank that waits in one
 * still learns of another rank's failure. They carry integers and bytes only: floating sums are sum.h's. */
#include "par/comm.h"

#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "par/request.h"

/* MPI itself has failed: nothing that would need MPI can follow. The signature is MPI's. */
static void mpi_failed(MPI_Comm *mpi, int *code, ...)
{
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(*code, text, &length);
    log_error("MPI failed: %.*s", length, text);
    MPI_Abort(*mpi, ERR_ENVIRONMENT);
}

static void read_layout(struct comm *c)
{
    MPI_Comm_rank(c->mpi, &c->rank);
    MPI_Comm_size(c->mpi, &c->size);
    c->owned = true;
}

void comm_start(struct comm *world, bool *multiple)
{
    int provided;
    MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &provided);
    *multiple = provided == MPI_THREAD_MULTIPLE;

    /* communicators made from this one inherit its handler */
    MPI_Errhandler handler;
    MPI_Comm_create_errhandler(mpi_failed, &handler);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, handler);
    MPI_Errhandler_free(&handler);
    MPI_Comm_dup(MPI_COMM_WORLD, &world->mpi);
    read_layout(world);
}

void comm_finish(struct comm *world)
{
    comm_free(world);
    MPI_Finalize();
}

void comm_abort(const struct comm *world, int status)
{
    MPI_Abort(world->mpi, status);
    _exit(status); /* for the compiler, and for a library that returns */
}

/* Making a communicator has no nonblocking form: all ranks meet first, where failures are watched. */
void comm_split(struct comm *out, const struct comm *parent, int color, int key)
{
    comm_barrier(parent);
    MPI_Comm made;
    MPI_Comm_split(parent->mpi, color < 0 ? MPI_UNDEFINED : color, key, &made);
    *out = (struct comm){0};
    if (made == MPI_COMM_NULL)
        return;
    out->mpi = made;
    read_layout(out);
}

void comm_split_host(struct comm *out, const struct comm *parent)
{
    comm_barrier(parent);
    MPI_Comm_split_type(parent->mpi, MPI_COMM_TYPE_SHARED, parent->rank, MPI_INFO_NULL, &out->mpi);
    read_layout(out);
}

void comm_duplicate(struct comm *out, const struct comm *parent)
{
    comm_barrier(parent);
    MPI_Comm_dup(parent->mpi, &out->mpi);
    read_layout(out);
}

void comm_free(struct comm *c)
{
    if (c->owned)
        MPI_Comm_free(&c->mpi);
    *c = (struct comm){0};
}

void comm_broadcast(const struct comm *c, void *bytes, size_t size, int root)
{
    for (size_t at = 0; at < size; at += REQUEST_BYTES_MAX) {
        const size_t piece = size - at < REQUEST_BYTES_MAX ? size - at : REQUEST_BYTES_MAX;
        MPI_Request r;
        MPI_Ibcast((char *)bytes + at, (int)piece, MPI_BYTE, root, c->mpi, &r);
        request_wait(&r, 1);
    }
}

void comm_broadcast_buffer(const struct comm *c, void **bytes, size_t *size, int root)
{
    comm_broadcast(c, size, sizeof *size, root);
    if (c->rank != root)
        *bytes = mem_alloc(*size);
    comm_broadcast(c, *bytes, *size, root);
}

static long reduce_long(const struct comm *c, long value, MPI_Op op)
{
    long result;
    MPI_Request r;
    MPI_Iallreduce(&value, &result, 1, MPI_LONG, op, c->mpi, &r);
    request_wait(&r, 1);
    return result;
}

long comm_min(const struct comm *c, long value)
{
    return reduce_long(c, value, MPI_MIN);
}

long comm_max(const struct comm *c, long value)
{
    return reduce_long(c, value, MPI_MAX);
}

void comm_barrier(const struct comm *c)
{
    MPI_Request r;
    MPI_Ibarrier(c->mpi, &r);
    request_wait(&r, 1);
}
