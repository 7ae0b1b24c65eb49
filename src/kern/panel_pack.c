#include "kern/panel_pack.h"

#include "base/integer.h"
#include "kern/convert_inline.h"
#include "kern/kernel.h"

/* What is turned is turned in blocks of this: 64 bytes of eight rows, which no cache maps to one place. */
enum { TURN_ROWS = 8, TURN_WORDS = 16 };

static int64_t words_of(enum dtype type, int64_t depth)
{
    return type == DTYPE_BF16 ? depth / 2 : depth;
}

/* n elements that lie together along the sum, as words. */
static void along_the_sum(float *to, enum dtype type, const void *from, enum dtype from_type, int64_t n)
{
    const float *x = from;
    const uint16_t *h = from;
    if (type == from_type) {
        memcpy(to, from, (size_t)n * (type == DTYPE_BF16 ? sizeof *h : sizeof *x));
    } else if (type == DTYPE_BF16) {
        uint16_t *half = (uint16_t *)(void *)to;
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            half[i] = bf16_round(x[i]);
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            to[i] = bf16_widen(h[i]);
    }
}

/* The same, with zeros behind it up to to_depth. */
static void padded_row(float *to, enum dtype type, int64_t to_depth, const void *from, enum dtype from_type, int64_t n)
{
    const size_t element = type == DTYPE_BF16 ? sizeof(uint16_t) : sizeof(float);
    along_the_sum(to, type, from, from_type, n);
    memset((char *)to + (size_t)n * element, 0, (size_t)(to_depth - n) * element);
}

/* The bits of bf16 in the upper half of a word. */
static inline uint32_t upper(const void *from, enum dtype type, int64_t i)
{
    return type == DTYPE_BF16 ? (uint32_t)((const uint16_t *)from)[i] << 16
                              : bf16_rounded_bits(((const float *)from)[i]);
}

/* n words from two rows that lie across the sum, one place of it apart; second NULL: it is past the end. */
static void weave(float *to, const void *first, const void *second, enum dtype from_type, int64_t n)
{
    if (!second) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            to[i] = float_of_bits(upper(first, from_type, i) >> 16);
    } else if (from_type == DTYPE_BF16) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            to[i] = float_of_bits(upper(first, DTYPE_BF16, i) >> 16 | upper(second, DTYPE_BF16, i));
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            to[i] = float_of_bits(upper(first, DTYPE_F32, i) >> 16 | upper(second, DTYPE_F32, i));
    }
}

/* Words [w] of a part's outer elements, padded to edge, from memory rows that lie across the sum. */
static void across_the_sum(float *to, enum dtype type, int64_t edge, const struct operand *o,
                           const struct pack_part *part, int64_t w)
{
    const int64_t each = type == DTYPE_BF16 ? 2 : 1, k = part->inner + w * each, end = part->inner + part->depth;
    const void *row = k < end ? operand_at(o, part->outer, k) : NULL;
    const int64_t n = row ? part->count : 0;
    if (row && type == DTYPE_BF16)
        weave(to, row, k + 1 < end ? operand_at(o, part->outer, k + 1) : NULL, o->dtype, n);
    else if (row)
        along_the_sum(to, type, row, o->dtype, n);
    memset(to + n, 0, (size_t)(edge - n) * sizeof *to);
}

/* to[cols, rows] = from[rows, cols]^T in words; both multiples of what is turned at a time. */
static void turn(float *to, int64_t ldto, const float *from, int64_t ldfrom, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r += TURN_ROWS)
        for (int64_t c = 0; c < cols; c += TURN_WORDS)
            for (int64_t i = r; i < r + TURN_ROWS; i += 4)
                for (int64_t j = c; j < c + TURN_WORDS; j += 4)
                    transpose_4x4(to + j * ldto + i, ldto, from + i * ldfrom + j, ldfrom);
}

/* Whole memory rows are read, or 64 bytes of each would cost a page and a cache set apiece. */
static void left_across(float *panel, enum dtype type, int64_t edge, int64_t words, const struct operand *o,
                        const struct pack_part *part)
{
    float strip[TURN_WORDS * PACK_EDGE];
    for (int64_t w = 0; w < words; w += TURN_WORDS) {
        for (int64_t j = 0; j < TURN_WORDS; j++)
            across_the_sum(strip + j * edge, type, edge, o, part, w + j);
        turn(panel + w, words, strip, edge, TURN_WORDS, edge);
    }
}

void KERNEL(panel_pack_left)(void *to, enum dtype type, int64_t edge, int64_t to_depth, const struct operand *o,
                             const struct pack_part *part)
{
    float *panel = to;
    const int64_t words = words_of(type, to_depth);
    if (o->by_inner) {
        left_across(panel, type, edge, words, o, part);
        return;
    }
    for (int64_t i = 0; i < part->count; i++)
        padded_row(panel + i * words, type, to_depth, operand_at(o, part->outer + i, part->inner), o->dtype,
                   part->depth);
    memset(panel + part->count * words, 0, (size_t)((edge - part->count) * words) * sizeof *panel);
}

/* Words that need no conversion are turned where they lie, unless they straddle the alignment of a word. */
static bool lies_in_words(enum dtype type, const struct operand *o, const struct pack_part *part, int64_t to_depth)
{
    const bool even = type == DTYPE_F32 || ((uintptr_t)o->data % sizeof(float) == 0 && o->ld % 2 == 0);
    return o->dtype == type && even && part->depth == to_depth;
}

/* TURN_ROWS columns of the panel, from as many memory rows, of which some may be missing. */
static void turn_columns(float *to, enum dtype type, int64_t edge, int64_t to_depth, const struct operand *o,
                         const struct pack_part *part)
{
    const int64_t words = words_of(type, to_depth);
    if (part->count == TURN_ROWS && lies_in_words(type, o, part, to_depth)) {
        turn(to, edge, operand_at(o, part->outer, part->inner), words_of(type, o->ld), TURN_ROWS, words);
        return;
    }
    float rows[TURN_ROWS * PACK_DEPTH];
    for (int64_t i = 0; i < TURN_ROWS; i++)
        if (i < part->count)
            padded_row(rows + i * words, type, to_depth, operand_at(o, part->outer + i, part->inner), o->dtype,
                       part->depth);
        else
            memset(rows + i * words, 0, (size_t)words * sizeof *rows);
    turn(to, edge, rows, words, TURN_ROWS, words);
}

void KERNEL(panel_pack_right)(void *to, enum dtype type, int64_t edge, int64_t to_depth, const struct operand *o,
                              const struct pack_part *part)
{
    float *panel = to;
    if (o->by_inner) {
        for (int64_t w = 0; w < words_of(type, to_depth); w++)
            across_the_sum(panel + w * edge, type, edge, o, part, w);
        return;
    }
    for (int64_t i = 0; i < edge; i += TURN_ROWS) {
        const int64_t count = max_i64(min_i64(part->count - i, TURN_ROWS), 0);
        turn_columns(panel + i, type, edge, to_depth, o,
                     &(struct pack_part){part->outer + i, count, part->inner, part->depth});
    }
}

void KERNEL(panel_store)(float *c, int64_t ldc, const float *from, int64_t ldfrom, int64_t m, int64_t n,
                         bool accumulate)
{
    for (int64_t i = 0; i < m; i++, c += ldc, from += ldfrom)
        if (accumulate)
#pragma omp simd
            for (int64_t j = 0; j < n; j++)
                c[j] += from[j];
        else
            memcpy(c, from, (size_t)n * sizeof *c);
}
