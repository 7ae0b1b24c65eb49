/* The start and the end of MPI, and a communicator with its rank and size read once.
 *
 * MPI_COMM_WORLD is named in comm.c alone, by comm_start, which main calls. Everybody else gets a struct comm. MPI
 * itself failing is no error to return: an error handler decodes the text and aborts the job at once. */
#ifndef RETORT_PAR_COMM_H
#define RETORT_PAR_COMM_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct comm {
    MPI_Comm mpi;
    int rank, size;
    bool owned; /* made by us: comm_free gives it back */
};

/* Collective over the job. MPI_Init_thread asking for MPI_THREAD_MULTIPLE; world becomes a duplicate of MPI_COMM_WORLD.
 * multiple tells whether the library granted it (progress.h). */
void comm_start(struct comm *world, bool *multiple);

/* Collective over the job. Frees world, finalizes MPI. */
void comm_finish(struct comm *world);

/* Local. Ends every rank of the job with this exit status, without waiting for anybody. */
_Noreturn void comm_abort(const struct comm *world, int status);

/* Collective over parent. color < 0: this rank is in none (out is zeroed, size 0). */
void comm_split(struct comm *out, const struct comm *parent, int color, int key);
void comm_duplicate(struct comm *out, const struct comm *parent);
void comm_free(struct comm *c); /* takes a zeroed one */

/* Collective over parent: the ranks that share this host's memory, in the order of parent. */
void comm_split_host(struct comm *out, const struct comm *parent);

/* Collective. Root's bytes to all; any size. */
void comm_broadcast(const struct comm *c, void *bytes, size_t size, int root);

/* Collective. Root's mem_alloc'ed buffer to all: the others get one of their own in *bytes. */
void comm_broadcast_buffer(const struct comm *c, void **bytes, size_t *size, int root);

/* Collective. Small integers; exact in any order. */
long comm_min(const struct comm *c, long value);
long comm_max(const struct comm *c, long value);
void comm_barrier(const struct comm *c);

#endif
