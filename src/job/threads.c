#include "job/threads.h"

#include <sched.h>

int threads_available(const struct comm *host)
{
    cpu_set_t mine;
    CPU_ZERO(&mine);
    if (sched_getaffinity(0, sizeof mine, &mine))
        CPU_SET(0, &mine); /* more cores than the set holds: one thread is safe */
    int cores = CPU_COUNT(&mine), sharing = 0;
    for (int r = 0; r < host->size; r++) {
        cpu_set_t other = mine, both;
        comm_broadcast(host, &other, sizeof other, r);
        CPU_AND(&both, &mine, &other);
        sharing += CPU_COUNT(&both) > 0;
    }
    return cores / sharing > 1 ? cores / sharing : 1;
}
