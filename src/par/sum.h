/* Sums over ranks, added in rank order: a function of the number of ranks alone, never of message size, transport or
 * timing (SEMANTICS, Sums). Every rank gets the same bits. The ranks of one host use memory that they share (window.h),
 * others messages (exchange.h); both add in the order that combine.h defines.
 *
 * Collective over the communicator, in the same order on all its ranks; a hang here means that one rank called another
 * sum, or none. Waits watch for failures (failure.h). Size 1 costs nothing. Main thread only. */
#ifndef RETORT_PAR_SUM_H
#define RETORT_PAR_SUM_H

#include <stdint.h>

#include "par/comm.h"

/* x[n] becomes the sum over ranks. Temporary memory is kept between calls (grows to the largest n seen). */
void sum_f32(const struct comm *c, float *x, int64_t n);
void sum_f64(const struct comm *c, double *x, int64_t n);

/* Element-wise maximum: exact in any order. NaN if a rank has NaN there. */
void max_f32(const struct comm *c, float *x, int64_t n);

/* before[i] = the sum of x[i] over the ranks below this one, added in rank order; total[i] = over all. */
void scan_f64(const struct comm *c, double *before, double *total, const double *x, int64_t n);

/* Gathers counts[rank] bytes from each rank to root; root gets them one behind the other in rank order in *all
 * (mem_alloc'ed) with offsets[size + 1]; the others get NULL. Any size. */
void gather_bytes(const struct comm *c, const void *mine, size_t size, void **all, size_t *offsets, int root);

/* Frees the kept memory. */
void sum_release(void);

#endif
