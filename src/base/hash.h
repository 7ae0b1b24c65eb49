/* Hashes of content: XXH3-64 for identity (is it the same text, the same tokens?), CRC-32C for damage. */
#ifndef RETORT_BASE_HASH_H
#define RETORT_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash64(const void *bytes, size_t n);

/* The same value in pieces. */
struct hash64;
struct hash64 *hash64_new(void);
void hash64_add(struct hash64 *h, const void *bytes, size_t n);
uint64_t hash64_value(const struct hash64 *h);
void hash64_free(struct hash64 *h);

/* CRC-32C (Castagnoli, reflected, as in iSCSI); start with crc = 0 and pass the last value on for the next piece. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t n);

#endif
