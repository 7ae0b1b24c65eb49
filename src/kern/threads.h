/* How many threads a kernel shares its rows among. Private to kern.
 *
 * A kernel's result never depends on this number: threads take whole rows, columns or fixed blocks. */
#ifndef RETORT_KERN_THREADS_H
#define RETORT_KERN_THREADS_H

#include <stdint.h>

/* For so many element operations: 1 where opening a parallel region would cost more than it saves (or inside one), else
 * the number that gemm_start() was given. */
int kern_threads(int64_t work);

/* Runs call(...) for every index in [0, count), shared among kern_threads(work) threads; a small op does not enter
 * OpenMP at all, which would cost more than its arithmetic. */
#define KERN_FOR(index, count, work, call)                                                                             \
    do {                                                                                                               \
        const int threads_ = kern_threads(work);                                                                       \
        const int64_t count_ = (count);                                                                                \
        if (threads_ == 1)                                                                                             \
            for (int64_t index = 0; index < count_; index++)                                                           \
                call;                                                                                                  \
        else                                                                                                           \
            _Pragma("omp parallel for schedule(static) num_threads(threads_)") for (int64_t index = 0; index < count_; \
                                                                                    index++) call;                     \
    } while (0)

/* Elements that one thread takes at a time where an op knows no rows. */
enum { KERN_CHUNK = 4096 };

static inline int64_t kern_chunks(int64_t n)
{
    return (n + KERN_CHUNK - 1) / KERN_CHUNK;
}

static inline int64_t kern_chunk_size(int64_t chunk, int64_t n)
{
    const int64_t left = n - chunk * KERN_CHUNK;
    return left < KERN_CHUNK ? left : KERN_CHUNK;
}

#endif
