#include "job/threads.h"

#include <sched.h>
#include <unistd.h>

struct thread_share thread_share(const struct comm *host)
{
    cpu_set_t mine;
    CPU_ZERO(&mine);
    if (sched_getaffinity(0, sizeof mine, &mine))
        CPU_SET(0, &mine); /* more cores than the set holds: one thread is safe */
    struct thread_share share = {.cores = CPU_COUNT(&mine), .first = true};
    for (int r = 0; r < host->size; r++) {
        cpu_set_t other = mine, both;
        comm_broadcast(host, &other, sizeof other, r);
        CPU_AND(&both, &mine, &other);
        share.ranks += CPU_COUNT(&both) > 0;
        share.first &= r >= host->rank || !CPU_COUNT(&both);
    }
    share.threads = share.cores > share.ranks ? share.cores / share.ranks : 1;
    share.crowded = share.ranks > share.cores && share.cores < sysconf(_SC_NPROCESSORS_ONLN);
    return share;
}
