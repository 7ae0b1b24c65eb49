/* Products of blocks of 64 x 64 in bf16 with f32 sums, by oneDNN: what attention is made of where the CPU multiplies
 * bf16. Private to kern.
 *
 * A left side is dense and row-major; a right side stands in panels of 64 columns, one behind the other, each as
 * panel_pack_right makes it (edge 64). A panel is contiguous along the sum, so part of one is a panel, too. */
#ifndef RETORT_KERN_BLOCK_BF16_H
#define RETORT_KERN_BLOCK_BF16_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Edge of a block, its elements, and how many there are at most in a row. */
enum { BLOCK_EDGE = 64, BLOCK_SIZE = BLOCK_EDGE * BLOCK_EDGE, BLOCKS_IN_ROW = 4 };

struct block_bf16 {
    /* c[64, 64 n] (+)= a[64, 64] b[64, 64 n], 1 <= n <= BLOCKS_IN_ROW. thread: its number, one run at a time for each;
     * called where OpenMP gives one thread. */
    void (*wide)(const struct block_bf16 *x, int thread, float *c, const uint16_t *a, const uint16_t *b, int64_t n,
                 bool accumulate);
    /* c[64 n, 64] (+)= a[64 n, 64] b[64, 64] */
    void (*tall)(const struct block_bf16 *x, int thread, float *c, const uint16_t *a, const uint16_t *b, int64_t n,
                 bool accumulate);
    /* c[64, 64] (+)= a[64, 64 n] b[64 n, 64] */
    void (*deep)(const struct block_bf16 *x, int thread, float *c, const uint16_t *a, const uint16_t *b, int64_t n,
                 bool accumulate);
};

/* For so many threads. NULL and ERR_ENVIRONMENT if oneDNN cannot, or memory is short. */
struct block_bf16 *block_bf16_new(int threads, struct err *e);
void block_bf16_free(struct block_bf16 *x);

/* The same by its definition, on any CPU. */
extern const struct block_bf16 block_bf16_ref;

#endif
