/* How many threads a rank may run. */
#ifndef RETORT_JOB_THREADS_H
#define RETORT_JOB_THREADS_H

#include "par/comm.h"

/* Collective over host. The cores of this rank's affinity mask, shared out among the ranks of the host whose masks
 * overlap (mpirun --bind-to none shows every rank all cores); at least 1. */
int threads_available(const struct comm *host);

#endif
