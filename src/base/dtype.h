/* Element types of tensors in files and in memory, and the bytes they take. Quantised types come in blocks along a row:
 * a row of n elements takes n / block * bytes, and n must be a multiple of the block. */
#ifndef RETORT_BASE_DTYPE_H
#define RETORT_BASE_DTYPE_H

#include <stdbool.h>
#include <stdint.h>

/* X(name, elements in a block, bytes of a block) */
#define DTYPES(X)     \
    X(F32, 1, 4)      \
    X(F16, 1, 2)      \
    X(BF16, 1, 2)     \
    X(F64, 1, 8)      \
    X(I8, 1, 1)       \
    X(U8, 1, 1)       \
    X(I16, 1, 2)      \
    X(I32, 1, 4)      \
    X(U32, 1, 4)      \
    X(I64, 1, 8)      \
    X(U64, 1, 8)      \
    X(BOOL, 1, 1)     \
    X(Q8_0, 32, 34)   \
    X(Q4_0, 32, 18)   \
    X(Q4_1, 32, 20)   \
    X(Q4_K, 256, 144) \
    X(Q6_K, 256, 210)

enum dtype {
#define X(name, block, bytes) DTYPE_##name,
    DTYPES(X)
#undef X
        DTYPE_COUNT
};

const char *dtype_name(enum dtype t);
int dtype_block(enum dtype t);
int dtype_block_bytes(enum dtype t);

/* Bytes of n elements; false if n is negative, no multiple of the block, or the product does not fit. */
bool dtype_bytes(enum dtype t, int64_t n, uint64_t *bytes);

#endif
