/* A rank that fails in the middle of a step, where others may wait for it anywhere: in a tensor-parallel sum, for a
 * label, for a permit. It tells every rank; every blocking wait of par/ watches for that and does not return.
 *
 * Where an error is found between collectives that all ranks reach, use agree() instead. */
#ifndef RETORT_PAR_FAILURE_H
#define RETORT_PAR_FAILURE_H

#include "base/err.h"
#include "par/comm.h"

/* Collective over world: a communicator and a standing receive of its own. leave is called on every rank that learns of
 * another rank's failure (from the main thread only, inside a blocking wait of par/); e names the rank. It must not
 * return; it may log, then calls failure_leave. */
void failure_start(const struct comm *world, void (*leave)(const struct err *e));
void failure_stop(void);

/* Local, from any thread. Logs the error ("rank N: " before it), tells all other ranks, then failure_leave. For an
 * error of this rank alone, inside a step. */
_Noreturn void failure_raise(const struct err *e);

/* Waits at most 5 s until every rank knows, then ends the job with the error's status (if several ranks have failed,
 * with that of the lowest). */
_Noreturn void failure_leave(const struct err *e);

/* Local. Called by par/'s own wait loops, now and then: calls leave if another rank has failed. */
void failure_watch(void);

#endif
