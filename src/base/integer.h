/* Small arithmetic on counts. */
#ifndef RETORT_BASE_INTEGER_H
#define RETORT_BASE_INTEGER_H

#include <stdint.h>

static inline int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* n / d rounded up; n >= 0, d > 0. */
static inline int64_t ceil_div(int64_t n, int64_t d)
{
    return (n + d - 1) / d;
}

/* The size that cuts n > 0 into the fewest parts of at most most, all equal but for a smaller last one. */
static inline int64_t equal_part(int64_t n, int64_t most)
{
    return ceil_div(n, ceil_div(n, most));
}

#endif
