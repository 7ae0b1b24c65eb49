/* Sequences laid one behind the other as one batch of tokens: ids, positions that restart at each document, document
 * bounds, the rows at which a label exists and the tokens that stand next there. */
#ifndef RETORT_LEARN_MICRO_BATCH_H
#define RETORT_LEARN_MICRO_BATCH_H

#include "data/corpus.h"
#include "learn/loss.h"
#include "model/model.h"

struct micro_batch {
    int64_t room; /* tokens */
    int64_t T, n; /* tokens, label positions */
    int documents;
    uint32_t *ids;          /* [room] */
    int32_t *position;      /* [room] */
    int32_t *start;         /* [room + 1] */
    uint64_t *place;        /* [room] */
    int32_t *rows;          /* [room]: label positions */
    struct target *targets; /* [room] */
};

void micro_batch_init(struct micro_batch *b, int64_t room);
void micro_batch_release(struct micro_batch *b);
void micro_batch_clear(struct micro_batch *b);

/* Appends a sequence, which must fit. place: of the sequence in its step (keys of dropout). labels NULL: cross-entropy
 * alone; else its labels, borrowed, one for each label position. */
void micro_batch_add(struct micro_batch *b, const struct sequence *s, int64_t place, const struct label_set *labels);

/* The batch as the model takes it, without dropout. */
struct batch micro_batch_view(const struct micro_batch *b);

#endif
