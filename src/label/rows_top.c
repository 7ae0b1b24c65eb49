/* See rows.h: the k-th largest of a row that no rank sees whole. Digit by digit of the keys' bits, from the highest:
 * all shards add their counts of each digit's values and so agree on the digit of the k-th. Counts are whole numbers,
 * exact in f64: the result does not depend on how the vocabulary is cut. */
#include "label/rows.h"

#include <string.h>

#include "base/mem.h"
#include "par/sum.h"

enum { DIGIT_BITS = 8, DIGITS = 1 << DIGIT_BITS, TOP_SHIFT = 32 - DIGIT_BITS };

/* The digits that are known so far, and how many of the keys that agree with them are still to be taken. */
struct search {
    uint32_t prefix;
    double need;
};

static int agrees(uint32_t key, uint32_t prefix, int shift)
{
    const uint32_t known = shift == TOP_SHIFT ? 0 : ~(uint32_t)0 << (shift + DIGIT_BITS);
    return (key & known) == prefix;
}

/* Counts the digits at shift of those n keys that agree with prefix and are at least bound. */
static void count_digits(double counts[DIGITS], const float *e, int64_t n, uint32_t prefix, int shift, int32_t bound)
{
    for (int64_t j = 0; j < n; j++) {
        const int32_t key = row_key(e[j]);
        if (key >= bound && agrees((uint32_t)key, prefix, shift))
            counts[(uint32_t)key >> shift & (DIGITS - 1)]++;
    }
}

static void choose_digit(struct search *s, const double counts[DIGITS], int shift)
{
    uint32_t digit = DIGITS - 1;
    for (; digit > 0 && s->need > counts[digit]; digit--)
        s->need -= counts[digit];
    s->prefix |= digit << shift;
}

/* A bound that no key of the k largest of the row is below: k blocks reach it, each with its largest. */
static int32_t lower_bound(const struct rows *r, int64_t row, int64_t k)
{
    if (k > r->blocks)
        return 0;
    struct search s = {.need = (double)k};
    for (int shift = TOP_SHIFT; shift >= 0; shift -= DIGIT_BITS) {
        double counts[DIGITS] = {0};
        count_digits(counts, r->block_max + row * r->blocks, r->blocks, s.prefix, shift, 0);
        choose_digit(&s, counts, shift);
    }
    return (int32_t)s.prefix;
}

static void count_row(double counts[DIGITS], const struct rows *r, int64_t row, uint32_t prefix, int shift,
                      int32_t bound)
{
    memset(counts, 0, DIGITS * sizeof *counts);
    for (int64_t b = 0; b < r->blocks; b++)
        if (row_key(r->block_max[row * r->blocks + b]) >= bound)
            count_digits(counts, row_block(r, row, b), rows_block_size(r, b), prefix, shift, bound);
}

static int64_t count_equal(const struct rows *r, int64_t row, int32_t key)
{
    int64_t count = 0;
    for (int64_t b = 0; b < r->blocks; b++) {
        if (row_key(r->block_max[row * r->blocks + b]) < key)
            continue;
        const float *e = row_block(r, row, b);
        const int64_t n = rows_block_size(r, b);
        for (int64_t j = 0; j < n; j++)
            count += row_key(e[j]) == key;
    }
    return count;
}

/* The cut is known: of the keys that equal it this shard takes what those before it leave. */
static void share_ties(struct rows *r, const struct comm *shards, const struct search *s)
{
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < r->count; row++) {
        r->cut[row] = (int32_t)s[row].prefix;
        r->mass[row] = (double)count_equal(r, row, r->cut[row]);
    }
    scan_f64(shards, r->before, r->total, r->mass, r->count);
    for (int64_t row = 0; row < r->count; row++) {
        const double left = s[row].need - r->before[row];
        r->ties[row] = (int64_t)(left < 0 ? 0 : left < r->mass[row] ? left : r->mass[row]);
    }
}

void rows_cut_top(struct rows *r, const struct comm *shards, int64_t k)
{
    struct search *s = mem_array((size_t)r->count, sizeof *s);
    double(*counts)[DIGITS] = mem_array((size_t)r->count, sizeof *counts);
    int32_t *bound = mem_array((size_t)r->count, sizeof *bound);
    for (int64_t row = 0; row < r->count; row++)
        s[row].need = (double)k;
    for (int shift = TOP_SHIFT; shift >= 0; shift -= DIGIT_BITS) {
#pragma omp parallel for schedule(static)
        for (int64_t row = 0; row < r->count; row++) {
            if (shift == TOP_SHIFT)
                bound[row] = lower_bound(r, row, k);
            count_row(counts[row], r, row, s[row].prefix, shift, bound[row]);
        }
        sum_f64(shards, counts[0], r->count * DIGITS);
        for (int64_t row = 0; row < r->count; row++)
            choose_digit(&s[row], counts[row], shift);
    }
    share_ties(r, shards, s);
    mem_free(bound);
    mem_free(counts);
    mem_free(s);
}
