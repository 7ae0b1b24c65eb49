/* A chunk of rows of this shard's logits on their way to label entries: the passes of the encoder that need no other
 * rank. Private to src/label.
 *
 * A row is cut into blocks, whose sums and maxima are kept: later passes look into the few blocks that matter. Every
 * pass treats its rows one by one, so that neither chunks nor threads change a bit. */
#ifndef RETORT_LABEL_ROWS_H
#define RETORT_LABEL_ROWS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "par/comm.h"

enum { ROW_BLOCK = 128 };

struct rows {
    int64_t count, V, ld, blocks;
    float scale;             /* 1 / temperature */
    const uint64_t *allowed; /* bit set over [0, V); NULL: all */

    float *e;   /* [count, V], ld apart: the logits, then exp(z * scale - max), the signs of those without a part set */
    float *max; /* [count], over all shards */
    double *sums;       /* [count][2]: sum of e; sum of e * log e. Of this shard, then over all */
    double *block_mass; /* [count, blocks]: sums of e; then, without the head, sums of all blocks up to this one */
    float *block_max;   /* [count, blocks] */

    /* Of the head: the e whose key is above cut, and the first `ties` of those that equal it. */
    int32_t *cut;
    int64_t *ties;
    int64_t *head_count, *begin; /* [count], on this shard: how many, and where they begin in its list */

    /* Of the tail. */
    double *mass, *before, *total; /* [count]: sums of e on this shard, on those before it, on all */

    int64_t room; /* rows that the arrays have room for */
};

/* Room for count rows of V values; e and the constants are the caller's to set. */
void rows_reserve(struct rows *r, int64_t count);
void rows_release(struct rows *r);

static inline int64_t rows_block_size(const struct rows *r, int64_t block)
{
    return block < r->blocks - 1 ? ROW_BLOCK : r->V - block * ROW_BLOCK;
}
static inline float *row_block(const struct rows *r, int64_t row, int64_t block)
{
    return r->e + row * r->ld + block * ROW_BLOCK;
}

/* Order of the e's: what takes no part is below 0. */
static inline int32_t row_key(float e)
{
    int32_t key;
    memcpy(&key, &e, sizeof key);
    return key;
}

/* Each row's max over this shard. */
void rows_maxima(struct rows *r);

/* Logits become exponentials, given max over all shards; fills sums and blocks. alone: there are no others, and each
 * row's max is found here, just before the row is read again. A logit that is not finite leaves a sum that is not
 * finite. */
void rows_exponentials(struct rows *r, bool alone);

/* Whether all logits of a row were finite, given the sums over all shards. */
bool row_is_finite(const struct rows *r, int64_t row);

/* Collective over shards. cut and ties such that the k largest of all shards are the head, lower ids first among
 * equals. There are more than k ids that take part. */
void rows_cut_top(struct rows *r, const struct comm *shards, int64_t k);

/* Fills head_count. */
void rows_count_heads(struct rows *r);

/* Writes the row's head, ids from first_id on, and takes it out of e and block_mass. */
void row_take_head(struct rows *r, int64_t row, uint32_t first_id, uint32_t *ids, float *p);

/* Fills mass, and makes block_mass cumulative. */
void rows_tail_masses(struct rows *r);

#endif
