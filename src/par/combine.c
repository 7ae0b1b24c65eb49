#include "par/combine.h"

#include <string.h>

/* A block of the result stays in the first-level cache while the parts are added to it, and out may be one of the parts
 * because nothing is written before all of them have been read. */
enum { BLOCK = 1024 };

#define COMBINE(name, type, expression)                                              \
    static void name##_block(type *restrict a, const type *restrict part, int64_t n) \
    {                                                                                \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++)                          \
        {                                                                            \
            const type b = part[i];                                                  \
            a[i] = (expression);                                                     \
        }                                                                            \
    }                                                                                \
    void name(void *out, const void *const *parts, int count, int64_t n)             \
    {                                                                                \
        type a[BLOCK];                                                               \
        for (int64_t at = 0; at < n; at += BLOCK) {                                  \
            const int64_t m = n - at < BLOCK ? n - at : BLOCK;                       \
            memcpy(a, (const type *)parts[0] + at, (size_t)m * sizeof *a);           \
            for (int r = 1; r < count; r++)                                          \
                name##_block(a, (const type *)parts[r] + at, m);                     \
            memcpy((type *)out + at, a, (size_t)m * sizeof *a);                      \
        }                                                                            \
    }

COMBINE(combine_sum_f32, float, a[i] + b)
COMBINE(combine_sum_f64, double, a[i] + b)
COMBINE(combine_max_f32, float, b > a[i] || b != b ? b : a[i])
