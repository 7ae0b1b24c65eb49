#include "base/hash.h"

#include <string.h>
#include <xxhash.h>

#include "base/mem.h"

uint64_t hash64(const void *bytes, size_t n)
{
    return XXH3_64bits(bytes, n);
}

struct hash64 {
    XXH3_state_t *state;
};

struct hash64 *hash64_new(void)
{
    struct hash64 *h = mem_alloc(sizeof *h);
    h->state = XXH3_createState();
    if (!h->state)
        mem_exhausted(sizeof *h);
    XXH3_64bits_reset(h->state);
    return h;
}

void hash64_add(struct hash64 *h, const void *bytes, size_t n)
{
    if (n)
        XXH3_64bits_update(h->state, bytes, n);
}

uint64_t hash64_value(const struct hash64 *h)
{
    return XXH3_64bits_digest(h->state);
}

void hash64_free(struct hash64 *h)
{
    if (!h)
        return;
    XXH3_freeState(h->state);
    mem_free(h);
}

enum { CRC32C_REFLECTED = (int)0x82F63B78 };

static const uint32_t *crc_table(void)
{
    static uint32_t table[256];
    static int ready;
    if (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE)) {
        /* two threads may both fill it: they write the same values */
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int bit = 0; bit < 8; bit++)
                c = c & 1 ? c >> 1 ^ (uint32_t)CRC32C_REFLECTED : c >> 1;
            table[i] = c;
        }
        __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
    }
    return table;
}

static uint32_t crc_portable(uint32_t c, const unsigned char *p, size_t n)
{
    const uint32_t *table = crc_table();
    for (size_t i = 0; i < n; i++)
        c = c >> 8 ^ table[(c ^ p[i]) & 0xff];
    return c;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t c, const unsigned char *p, size_t n)
{
    uint64_t wide = c;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        wide = __builtin_ia32_crc32di(wide, v);
    }
    c = (uint32_t)wide;
    for (; n; p++, n--)
        c = __builtin_ia32_crc32qi(c, *p);
    return c;
}
#endif

uint32_t crc32c(uint32_t crc, const void *bytes, size_t n)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_sse42(~crc, bytes, n);
#endif
    return ~crc_portable(~crc, bytes, n);
}
