/* Contributions of all ranks by messages: the transport of sum.h that works everywhere. Collective; main thread only.
 * Nothing outside par/ includes this. */
#ifndef RETORT_PAR_EXCHANGE_H
#define RETORT_PAR_EXCHANGE_H

#include "par/combine.h"
#include "par/comm.h"

/* Every rank's `size` bytes to every rank: pointers in rank order, valid until the next call (the own one is x itself).
 * One message delay, (ranks - 1) * size bytes received. */
const void *const *exchange_whole(const struct comm *c, const void *x, size_t size);

/* x[n] of elements of `element` bytes becomes the combination over ranks: each rank combines a slice and sends the
 * result round. Two delays, but less than 2 * n elements received whatever the number of ranks. */
void exchange_slices(const struct comm *c, void *x, int64_t n, size_t element, combine_function *combine);

/* Rank's slice of x[n], and the rank that is i places after this one: everybody starts with another one, so that no
 * rank is flooded. Local. */
struct slice {
    char *at;
    size_t size;
};
struct slice exchange_slice(void *x, int64_t n, size_t element, int rank, int ranks);
int exchange_peer(const struct comm *c, int i);

/* Frees the memory kept between calls. */
void exchange_release(void);

#endif
