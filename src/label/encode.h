/* From teacher logits to labels, vocabulary-parallel: every shard holds a range of the vocabulary, no rank ever sees a
 * whole row of logits. Reduces maximum, sum of exponentials and entropy over shards; scans tail mass; each shard emits
 * its own ids; shard 0 collects the entries and owns the record. */
#ifndef RETORT_LABEL_ENCODE_H
#define RETORT_LABEL_ENCODE_H

#include <stdint.h>

#include "label/label.h"
#include "label/record.h"
#include "par/comm.h"

struct encoder;

/* shards: the communicator of the teacher's tensor-parallel ranks. This rank holds vocabulary ids first .. first + V
 * - 1. allowed: bit set over [0, V) of the ids that take part (NULL: all); borrowed. */
struct encoder *encoder_new(const struct label_spec *spec, const struct comm *shards, int64_t first, int64_t V,
                            const uint64_t *allowed);
void encoder_free(struct encoder *n);

void encoder_begin(struct encoder *n, uint64_t seq_id, uint64_t input_hash, int tokens);

/* Collective over shards. rows label positions: logits[rows, V] of this shard (overwritten), position[rows] in the
 * sequence (keys of the random numbers). Rows come in the order of positions, in chunks of any size: the chunking does
 * not change a bit of the record. */
void encoder_rows(struct encoder *n, float *logits, int64_t ld, const int32_t *position, int64_t rows);

/* Local. The same for kind hidden: states h[rows, hidden], equal on all shards. */
void encoder_hidden(struct encoder *n, const float *h, int64_t rows);

/* Labels of this sequence whose logits (or states, as they are written) were not finite; the same on all shards. Their
 * record is made but cannot be decoded: record_decode says why. For who wants to know earlier (precompute). */
int64_t encoder_bad_labels(const struct encoder *n);

/* Collective over shards. Shard 0 gets the record's bytes (mem_alloc'ed), the others NULL. */
void *encoder_finish(struct encoder *n, size_t *size);

#endif
