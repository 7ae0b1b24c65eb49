#include "learn/vocabulary.h"

#include <stdbool.h>

#include "base/mem.h"

static bool bit(const uint64_t *bits, int64_t i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

static void set_bit(uint64_t *bits, int64_t i)
{
    bits[i / 64] |= (uint64_t)1 << (i % 64);
}

uint64_t *vocabulary_allowed(const struct tokenizer *t, int64_t teacher_size, int64_t student_size, int64_t *end)
{
    int64_t larger = teacher_size > student_size ? teacher_size : student_size;
    int64_t smaller = teacher_size < student_size ? teacher_size : student_size;
    uint64_t *allowed = mem_array((size_t)(larger + 63) / 64, sizeof *allowed);
    *end = 0;
    for (int64_t i = 0; i < smaller && i < (int64_t)tokenizer_size(t); i++)
        if (tokenizer_piece(t, (uint32_t)i)) {
            set_bit(allowed, i);
            *end = i + 1;
        }
    return allowed;
}

static bool all_set(const uint64_t *bits, int64_t n)
{
    int64_t i = 0;
    while (i < n && bit(bits, i))
        i++;
    return i == n;
}

uint64_t *vocabulary_of_shard(const uint64_t *allowed, struct range vocab, int64_t vocab_size)
{
    int64_t n = vocab.end - vocab.first;
    if (all_set(allowed, vocab_size))
        return NULL;
    uint64_t *local = mem_array((size_t)(n + 63) / 64, sizeof *local);
    for (int64_t i = 0; i < n; i++)
        if (bit(allowed, vocab.first + i))
            set_bit(local, i);
    return local;
}
