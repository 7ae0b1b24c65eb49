/* Random numbers that are named, not drawn in turn: Philox4x32-10 (Salmon et al. 2011), a pure function of key and
 * counter. A number is keyed by what it is for (SEMANTICS, Random numbers), never by rank, thread or order, so every
 * layout sees the same ones. */
#ifndef RETORT_BASE_RNG_H
#define RETORT_BASE_RNG_H

#include <stdint.h>

struct rng_block {
    uint32_t v[4];
};

/* The ten rounds: 128 random bits for a 64-bit key and a 128-bit counter (lo first). */
struct rng_block rng_philox(uint64_t key, uint64_t counter_lo, uint64_t counter_hi);

/* A sequential stream over one (key, counter_hi): for code that draws a variable number of values for one purpose. */
struct rng {
    uint64_t key, hi, lo;
    struct rng_block block;
    int left;
};
void rng_init(struct rng *r, uint64_t key, uint64_t stream);
uint32_t rng_u32(struct rng *r);
uint64_t rng_u64(struct rng *r);
double rng_uniform(struct rng *r);             /* [0, 1), 53 bits */
uint64_t rng_below(struct rng *r, uint64_t n); /* 0 .. n-1, unbiased; n > 0 */
double rng_normal(struct rng *r);              /* mean 0, variance 1 (Box-Muller) */

/* 53 bits of one block as a uniform number in [0, 1). */
double rng_to_uniform(uint32_t hi, uint32_t lo);

#endif
