#include "data/order.h"

#include "base/assert.h"
#include "base/rng.h"

/* Each half has this many bits at least: on two or four values a Feistel network reaches too few permutations. The
 * cycle walk brings the result back below n, whatever the width. */
enum { HALF_BITS_MIN = 4, ROUNDS = 6 };

static int half_bits(uint64_t n)
{
    int bits = 0;
    while (bits < 64 && (n - 1) >> bits)
        bits++;
    int half = (bits + 1) / 2;
    return half < HALF_BITS_MIN ? HALF_BITS_MIN : half;
}

/* One walk through the network: a permutation of [0, 2^(2 * half)). */
static uint64_t feistel(uint64_t key, uint64_t x, int half)
{
    const uint64_t mask = ((uint64_t)1 << half) - 1;
    uint64_t left = x >> half, right = x & mask;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct rng_block f = rng_philox(key, right, round);
        uint64_t next = (left ^ f.v[0]) & mask;
        left = right;
        right = next;
    }
    return left << half | right;
}

int64_t order_permute(uint64_t key, int64_t i, int64_t n)
{
    ASSERT(i >= 0 && i < n);
    const int half = half_bits((uint64_t)n);
    ASSERT(half <= 32); /* one word of Philox masks a half */
    uint64_t x = (uint64_t)i;
    /* values outside [0, n) are walked over: the permutation's own cycle leads back inside */
    do
        x = feistel(key, x, half);
    while (x >= (uint64_t)n);
    return (int64_t)x;
}

int64_t order_index(uint64_t seed, int64_t g, int64_t n)
{
    ASSERT(g >= 0 && n > 0);
    /* the high counter word names the purpose ("epoch order"), so that no other number of this seed is like it */
    const uint64_t purpose = 0x65706f6368;
    struct rng_block k = rng_philox(seed, (uint64_t)(g / n), purpose);
    return order_permute((uint64_t)k.v[0] << 32 | k.v[1], g % n, n);
}

int64_t order_at(const struct order *o, int64_t g)
{
    const int64_t i = order_index(o->seed, g, o->count);
    return o->indices ? o->indices[i] : i;
}
