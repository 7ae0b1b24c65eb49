/* The random numbers of labels: named by (labels.seed, input_hash, position) and what they are for (SEMANTICS, Random
 * numbers), so that a sequence gets the same labels on every layout and in every epoch. Private to src/label. */
#ifndef RETORT_LABEL_RANDOM_H
#define RETORT_LABEL_RANDOM_H

#include "base/rng.h"

enum label_random { RANDOM_TAIL, RANDOM_ROUNDING };

struct label_key {
    uint64_t seed, input_hash;
};

/* Block number `block` (below 2^24) of the numbers that one position has for one purpose. */
static inline struct rng_block label_random(struct label_key k, int32_t position, enum label_random purpose,
                                            uint64_t block)
{
    return rng_philox(k.seed, k.input_hash, (uint64_t)(uint32_t)position << 32 | (uint64_t)purpose << 24 | block);
}

#endif
