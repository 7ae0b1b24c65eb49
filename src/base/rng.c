#include "base/rng.h"

#include <math.h>

#include "base/assert.h"

static uint32_t mul_hi_lo(uint32_t a, uint32_t b, uint32_t *hi)
{
    uint64_t product = (uint64_t)a * b;
    *hi = (uint32_t)(product >> 32);
    return (uint32_t)product;
}

struct rng_block rng_philox(uint64_t key, uint64_t counter_lo, uint64_t counter_hi)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)counter_lo, c1 = (uint32_t)(counter_lo >> 32);
    uint32_t c2 = (uint32_t)counter_hi, c3 = (uint32_t)(counter_hi >> 32);
    for (int round = 0; round < 10; round++) {
        uint32_t hi0, hi1;
        uint32_t lo0 = mul_hi_lo(0xD2511F53u, c0, &hi0);
        uint32_t lo1 = mul_hi_lo(0xCD9E8D57u, c2, &hi1);
        c0 = hi1 ^ c1 ^ k0;
        c1 = lo1;
        c2 = hi0 ^ c3 ^ k1;
        c3 = lo0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (struct rng_block){{c0, c1, c2, c3}};
}

void rng_init(struct rng *r, uint64_t key, uint64_t stream)
{
    *r = (struct rng){.key = key, .hi = stream};
}

uint32_t rng_u32(struct rng *r)
{
    if (!r->left) {
        r->block = rng_philox(r->key, r->lo++, r->hi);
        r->left = 4;
    }
    return r->block.v[4 - r->left--];
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t hi = rng_u32(r);
    return hi << 32 | rng_u32(r);
}

double rng_to_uniform(uint32_t hi, uint32_t lo)
{
    return (double)(((uint64_t)hi << 32 | lo) >> 11) * 0x1p-53;
}

double rng_uniform(struct rng *r)
{
    uint32_t hi = rng_u32(r);
    return rng_to_uniform(hi, rng_u32(r));
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    ASSERT(n > 0);
    /* reject the incomplete last run of n values, or small results would be a little likelier */
    uint64_t limit = UINT64_MAX - (UINT64_MAX % n + 1) % n;
    uint64_t v;
    do
        v = rng_u64(r);
    while (v > limit);
    return v % n;
}

double rng_normal(struct rng *r)
{
    double u = 1 - rng_uniform(r); /* (0, 1]: its logarithm is finite */
    double v = rng_uniform(r);
    return sqrt(-2 * log(u)) * cos(6.283185307179586477 * v);
}
