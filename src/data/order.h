/* Which sequence stands at which place: known to every rank from (seed, epoch) alone. An epoch is a permutation of the
 * sequences keyed by (seed, epoch); place g of the endless concatenation is g = (s - 1) B + i for the i-th sequence of
 * step s = 1, 2, ... (SEMANTICS). */
#ifndef RETORT_DATA_ORDER_H
#define RETORT_DATA_ORDER_H

#include <stdint.h>

/* The index at place g >= 0 of n > 0 sequences, in O(1) memory (a keyed Feistel permutation with cycle walking). */
int64_t order_index(uint64_t seed, int64_t g, int64_t n);

/* The permutation beneath: where key sends i, 0 <= i < n. Packing uses it, too, with a key of its own. */
int64_t order_permute(uint64_t key, int64_t i, int64_t n);

#endif
