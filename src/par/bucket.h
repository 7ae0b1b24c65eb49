/* The reduction of one flat gradient buffer over data-parallel ranks, in buckets, while the backward still runs.
 *
 * Each bucket is reduce-scattered: rank r owns slice r of every bucket and ends up with the sum of all ranks'
 * contributions to it, added in rank order (bits depend on the number of ranks alone, not on the bounds of buckets).
 * The optimizer updates the own slices; bucket_gather then gives every rank the whole updated parameters (ZeRO-1).
 * Traffic runs on a communicator of its own, moved by progress.h. */
#ifndef RETORT_PAR_BUCKET_H
#define RETORT_PAR_BUCKET_H

#include <stdint.h>

#include "par/comm.h"

struct buckets;

/* Collective over c. Bucket b is elements [bounds[b], bounds[b + 1]) of a buffer of bounds[count] floats. */
struct buckets *buckets_new(const struct comm *c, const int64_t *bounds, int count);
void buckets_free(struct buckets *k);

/* Local: the elements [*first, *end) of the whole buffer that rank owns in bucket b; may be empty. */
void buckets_slice(const struct buckets *k, int b, int rank, int64_t *first, int64_t *end);

/* Logically collective: every rank starts the same buckets in the same order. Bucket b of gradient is final; it must
 * not be touched until buckets_finish. Returns at once. */
void buckets_start(struct buckets *k, int b, float *gradient);

/* Waits for all started buckets: the own slices of gradient hold the sums, the rest is undefined. Returns the seconds
 * that it had to wait. */
double buckets_finish(struct buckets *k);

/* Collective. Every rank's slices of x to every rank. */
void buckets_gather(struct buckets *k, float *x);

#endif
