/* Agreement: what one rank alone has found out, every rank learns before the next collective.
 *
 * A rank that fails (a shard it cannot read, memory it cannot get) must not leave: the others would wait for it in the
 * next collective for ever. So a step that can fail on one rank ends in agree(), and all ranks leave together. */
#ifndef RETORT_PAR_AGREE_H
#define RETORT_PAR_AGREE_H

#include "base/err.h"
#include "par/comm.h"

/* Collective over comm. Each rank passes the error of its own step (ERR_NONE if it went well). Returns the same on all
 * ranks: 0 if all went well; else -1, and e holds the lowest failing rank's code and text. With more than one rank in
 * comm, and unless every rank failed with the same text, "rank N: " stands before it.
 *
 * One small all-reduce when all is well; the text travels only in trouble. If a rank skips this call, the others hang
 * here: a hang in agree() means that a code path returned early above it. */
int agree(const struct comm *c, struct err *e);

#endif
