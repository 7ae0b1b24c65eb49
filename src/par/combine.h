/* Contributions of all ranks into one result, in rank order: out[i] = ((parts[0][i] + parts[1][i]) + parts[2][i]) + ...
 *
 * This order is the definition of every floating sum over ranks (SEMANTICS, Sums). Leaf functions. out may be one of
 * the parts. Nothing outside par/ includes this. */
#ifndef RETORT_PAR_COMBINE_H
#define RETORT_PAR_COMBINE_H

#include <stdint.h>

/* count >= 1 parts of n elements each. */
typedef void combine_function(void *out, const void *const *parts, int count, int64_t n);

combine_function combine_sum_f32, combine_sum_f64;

/* The largest; NaN if one of them is. */
combine_function combine_max_f32;

#endif
