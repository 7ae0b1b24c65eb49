/* The label store seen from a training job: may its labels be used, and which sequences does it have? What is missing
 * is refused before the first step, or with labels.allow_partial left out of the order of sequences. That choice is
 * made once: the run directory keeps it (partial.bin), since every later step depends on it, whatever the store or the
 * source of labels has become when the run is resumed. */
#ifndef RETORT_JOB_STORED_H
#define RETORT_JOB_STORED_H

#include "job/context.h"
#include "job/sequence_list.h"
#include "label/store.h"
#include "learn/items.h"

struct stored {
    struct store *store;          /* on leaders of replicas, with labels.source: store; NULL elsewhere */
    struct sequence_list partial; /* what takes part; empty: every sequence */
    int64_t *indices;             /* [partial.count] of these in their splits: validation, then training */
};

/* Collective over world, for a job that distils. items are those of all sequences, and become those of what takes part.
 * resumed: the run goes on from a checkpoint. ERR_INPUT: the store is none for this job, or lacks what the run reads.
 */
int stored_open(struct stored *s, const struct context *c, struct items *items, bool resumed, struct err *e);
void stored_close(struct stored *s);

#endif
