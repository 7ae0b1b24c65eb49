/* Which sequence stands at which place: known to every rank from (seed, epoch) alone. An epoch is a permutation of the
 * sequences keyed by (seed, epoch); place g of the endless concatenation is g = (s - 1) B + i for the i-th sequence of
 * step s = 1, 2, ... (SEMANTICS). */
#ifndef RETORT_DATA_ORDER_H
#define RETORT_DATA_ORDER_H

#include <stdint.h>

/* The index at place g >= 0 of n > 0 sequences, in O(1) memory (a keyed Feistel permutation with cycle walking). */
int64_t order_index(uint64_t seed, int64_t g, int64_t n);

/* The same where not all sequences take part: the epoch is then a permutation of those that do. */
struct order {
    uint64_t seed;
    int64_t count;          /* > 0, of those that take part */
    const int64_t *indices; /* [count] theirs, ascending; borrowed. NULL: 0 .. count - 1 */
};
int64_t order_at(const struct order *o, int64_t g);

/* The permutation beneath: where key sends i, 0 <= i < n. Packing uses it, too, with a key of its own. */
int64_t order_permute(uint64_t key, int64_t i, int64_t n);

#endif
