/* Numbers for kernel tests: pseudo-random inputs, comparison with a tolerance, and gradients by central differences. */
#ifndef RETORT_TESTS_KERN_NUMBERS_H
#define RETORT_TESTS_KERN_NUMBERS_H

#include <stdint.h>

/* n floats, uniform in [-scale, scale), the same for the same seed; mem_free it. */
float *random_floats(uint64_t seed, int64_t n, float scale);

/* n floats of one value that no kernel should leave or touch; mem_free it. */
float *constant_floats(int64_t n, float value);

/* max |a - b| <= tolerance * max |b|, both finite; fails the test with the first element that is furthest off. */
void assert_close(const char *name, const float *a, const float *b, int64_t n, double tolerance);

/* The same bits. */
void assert_same(const char *name, const void *a, const void *b, int64_t n, int64_t size);

/* dL/dp[i] for each of n parameters p against (L(p + h) - L(p - h)) / 2h, h relative to p. Fails where it is further
 * off than tolerance * (|numeric| + scale of the gradient). */
void assert_gradient(const char *name, float *p, const float *gradient, int64_t n, double (*loss)(void *),
                     void *context, double tolerance);

#endif
