/* A batch in two halves of its rows, so that one half computes while the other one's sums over shards are on their way.
 * Every row's bits are the same as in one piece: rows meet in attention alone, where the second half reads the keys and
 * values that the first has just made. Private to src/model. */
#ifndef RETORT_MODEL_HALVES_H
#define RETORT_MODEL_HALVES_H

#include "model/tape.h"

/* A part of a batch, and the view of its tape in which it is computed. Of the second half, the document that the cut
 * goes through starts at a negative row. */
struct half {
    struct tape *t;
    struct batch b;
};

/* Cuts b where that hides something: shards on several hosts, bf16, and enough rows on either side. Returns how many
 * parts there are; of one it is t and b themselves. They are good until the next call for the tape. */
int halves_cut(struct half halves[2], struct tape *t, const struct batch *b);

#endif
