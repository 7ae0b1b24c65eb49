/* How many threads a rank may run. */
#ifndef RETORT_JOB_THREADS_H
#define RETORT_JOB_THREADS_H

#include <stdbool.h>

#include "par/comm.h"

struct thread_share {
    int cores;    /* of this rank's affinity mask */
    int ranks;    /* of this host whose masks overlap with it, this one included */
    int threads;  /* its share of the cores, at least 1 */
    bool first;   /* the lowest of these ranks */
    bool crowded; /* the launch binds more ranks than cores together while the host has other cores */
};

/* Collective over host. Cores are shared out among the ranks that may run on them (mpirun --bind-to none shows every
 * rank all cores). */
struct thread_share thread_share(const struct comm *host);

#endif
