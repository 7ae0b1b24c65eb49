/* How many threads a kernel shares its rows among. Private to kern.
 *
 * A kernel's result never depends on this number: threads take whole rows, columns or fixed blocks. */
#ifndef RETORT_KERN_THREADS_H
#define RETORT_KERN_THREADS_H

#include <stdint.h>

/* For so many element operations: 1 where opening a parallel region would cost more than it saves (or inside one), else
 * the number that gemm_start() was given. */
int kern_threads(int64_t work);

#endif
