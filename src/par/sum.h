/* Sums over ranks, added in rank order: a function of the number of ranks alone, never of message size, transport or
 * timing (SEMANTICS, Sums). Every rank gets the same bits. The ranks of one host use memory that they share (window.h),
 * others messages (exchange.h); both add in the order that combine.h defines.
 *
 * Collective over the communicator, in the same order on all its ranks; a hang here means that one rank called another
 * sum, or none. Waits watch for failures (failure.h). Size 1 costs nothing. Main thread only. */
#ifndef RETORT_PAR_SUM_H
#define RETORT_PAR_SUM_H

#include <stdbool.h>
#include <stdint.h>

#include "par/comm.h"

/* x[n] becomes the sum over ranks. Temporary memory is kept between calls (grows to the largest n seen). */
void sum_f32(const struct comm *c, float *x, int64_t n);
void sum_f64(const struct comm *c, double *x, int64_t n);

/* sum_f32 in two parts. Where messages carry it, it goes on in between, so that what the caller computes meanwhile
 * hides it; inside a host it is over when sum_start returns. Between the two, x must not be touched. A communicator has
 * so many slots, each for one sum at a time. */
enum { SUM_SLOTS = 2 };
void sum_start(const struct comm *c, int slot, float *x, int64_t n);
void sum_finish(const struct comm *c, int slot);

/* Collective. Whether a sum that has been started leaves the core to its caller. */
bool sum_goes_on(const struct comm *c);

/* Element-wise maximum: exact in any order. NaN if a rank has NaN there. */
void max_f32(const struct comm *c, float *x, int64_t n);

/* before[i] = the sum of x[i] over the ranks below this one, added in rank order; total[i] = over all. */
void scan_f64(const struct comm *c, double *before, double *total, const double *x, int64_t n);

/* Gathers `size` bytes of any size from each rank to root; root gets them one behind the other in rank order in *all,
 * which has *room bytes of mem_alloc (NULL and 0 at first) and grows as needed, with offsets[size of c + 1]; of the
 * others all three stay as they are. */
void gather_bytes(const struct comm *c, const void *mine, size_t size, void **all, size_t *room, size_t *offsets,
                  int root);

/* Frees the kept memory. */
void sum_release(void);

#endif
