#include "kern/threads.h"

#include <omp.h>

#include "kern/gemm.h"

/* About 10 us of one core: what opening and closing a region costs on a node with many cores. */
enum { WORTH_A_REGION = 1 << 15 };

int kern_threads(int64_t work)
{
    return work < WORTH_A_REGION || omp_in_parallel() ? 1 : gemm_threads();
}
