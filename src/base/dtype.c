#include "base/dtype.h"

static const struct {
    const char *name;
    int block, bytes;
} types[DTYPE_COUNT] = {
#define X(name, block, bytes) {#name, block, bytes},
    DTYPES(X)
#undef X
};

const char *dtype_name(enum dtype t)
{
    return types[t].name;
}

int dtype_block(enum dtype t)
{
    return types[t].block;
}

int dtype_block_bytes(enum dtype t)
{
    return types[t].bytes;
}

bool dtype_bytes(enum dtype t, int64_t n, uint64_t *bytes)
{
    uint64_t product;
    if (n < 0 || n % types[t].block ||
        __builtin_mul_overflow((uint64_t)(n / types[t].block), (uint64_t)types[t].bytes, &product))
        return false;
    *bytes = product;
    return true;
}
