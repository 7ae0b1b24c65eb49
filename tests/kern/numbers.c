#include "numbers.h"

#include "test.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

float *random_floats(uint64_t seed, int64_t n, float scale)
{
    float *x = mem_array((size_t)n, sizeof *x);
    struct rng r;
    rng_init(&r, seed, 0);
    for (int64_t i = 0; i < n; i++)
        x[i] = scale * (float)(2 * rng_uniform(&r) - 1);
    return x;
}

float *constant_floats(int64_t n, float value)
{
    float *x = mem_array((size_t)n, sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = value;
    return x;
}

void assert_close(const char *name, const float *a, const float *b, int64_t n, double tolerance)
{
    double largest = 0, worst = 0;
    int64_t where = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i]))
            fail_msg("%s[%ld] is %g, expected %g", name, (long)i, (double)a[i], (double)b[i]);
        largest = fmax(largest, fabs((double)b[i]));
        const double off = fabs((double)a[i] - (double)b[i]);
        if (off > worst) {
            worst = off;
            where = i;
        }
    }
    if (worst > tolerance * largest)
        fail_msg("%s[%ld] is %.9g, expected %.9g: off by %.3g of the largest, %.3g allowed", name, (long)where,
                 (double)a[where], (double)b[where], worst / largest, tolerance);
}

void assert_same(const char *name, const void *a, const void *b, int64_t n, int64_t size)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp((const char *)a + i * size, (const char *)b + i * size, (size_t)size) != 0)
            fail_msg("%s: element %ld of %ld has other bits", name, (long)i, (long)n);
}

void assert_gradient(const char *name, float *p, const float *gradient, int64_t n, double (*loss)(void *),
                     void *context, double tolerance)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)gradient[i]));
    for (int64_t i = 0; i < n; i++) {
        /* the step balances truncation, h^2, against f32 rounding of the outputs, 1e-7 / h */
        const float keep = p[i], h = 1e-2f * fmaxf(fabsf(keep), 1e-1f);
        p[i] = keep + h;
        const double above = p[i], up = loss(context);
        p[i] = keep - h;
        const double below = p[i], down = loss(context);
        p[i] = keep;
        const double numeric = (up - down) / (above - below);
        if (!(fabs(numeric - (double)gradient[i]) <= tolerance * (fabs(numeric) + largest)))
            fail_msg("%s[%ld] is %.6g, by differences %.6g", name, (long)i, (double)gradient[i], numeric);
    }
}
