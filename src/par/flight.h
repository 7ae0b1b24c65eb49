/* A sum over ranks by messages that goes on while its caller computes: the transport of sum_start. Moved by progress.h;
 * every rank combines a slice and sends the result round, in combine.h's order. Nothing outside par/ includes this.
 *
 * A communicator gets its flights, which talk over communicators of their own, at the first sum that needs one, and
 * keeps them until comm_free. */
#ifndef RETORT_PAR_FLIGHT_H
#define RETORT_PAR_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "par/comm.h"

struct flight;

/* Collective. 0 <= slot < SUM_SLOTS (sum.h). */
struct flight *flight_of(const struct comm *c, int slot);

/* Whether so many values are not too many for one flight. */
bool flight_takes(const struct comm *c, int64_t n);

/* Collective, main thread only. Between the two x is the flight's. Memory is kept for the next one. To finish what has
 * not been started is no error. */
void flight_start(struct flight *f, float *x, int64_t n);
void flight_finish(struct flight *f);

#endif
