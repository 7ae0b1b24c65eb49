/* A list of work shared out by number: ranges of 0 .. total - 1, handed out by one rank (the coordinator, rank 0 of the
 * communicator) to whoever asks, so that fast ranks do more than slow ones. It answers from a step function of
 * progress.h: at once, while its main thread computes.
 *
 * Who works says with each question how much it has finished, in numbers of the list; nothing is handed out twice, so a
 * rank that ends without saying so leaves its range undone. */
#ifndef RETORT_PAR_CLAIMS_H
#define RETORT_PAR_CLAIMS_H

#include <stdint.h>

#include "par/comm.h"

struct claims;

/* Collective over c (duplicated inside). takers: how many ranks will ask; they may include the coordinator. total and
 * takers are the same on all ranks. */
struct claims *claims_new(const struct comm *c, int64_t total, int takers);

/* Collective. Waits for all ranks, answering them. Takes NULL (on all ranks). */
void claims_free(struct claims *c);

/* Local. Tells that `done` more numbers are finished, and asks for `wanted` > 0: [first, first + count) is this rank's.
 * Waits for the answer, watching for failures. count is never more than max(1, left / (2 takers)), so that all end at
 * about the same time; 0: nothing is left, now and later. */
void claims_next(struct claims *c, int64_t wanted, int64_t done, int64_t *first, int64_t *count);

/* Local, on any rank, at any time; may be called again. As soon as the coordinator hears it nothing more is handed out,
 * to anybody. */
void claims_stop(struct claims *c);

/* Local, on the coordinator: the sum of all `done` so far. */
int64_t claims_done(const struct claims *c);

#endif
