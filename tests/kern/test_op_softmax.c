/* exp() to 2 ulp over its whole range, and the parts of a softmax against double sums, with and without a set of
 * allowed ids, for rows that fill neither words, nor blocks, nor vectors. */
#include "numbers.h"

#include "test.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kern/gemm.h"
#include "kern/op_softmax.h"

static double ulps(float y, double exact)
{
    int exponent;
    frexp(exact, &exponent);
    return fabs((double)y - exact) / ldexp(1, exponent - 24);
}

static void test_exp(void **state)
{
    (void)state;
    enum { N = 1 << 18 };
    float *x = mem_array(N, sizeof *x), *y = mem_array(N, sizeof *y);
    const float lowest = -87.33654f, highest = 88.72283f;
    for (int i = 0; i < N; i++)
        x[i] = lowest + (highest - lowest) * (float)i / (float)N;
    vector_exp(y, x, N);
    for (int i = 0; i < N; i++)
        if (!(ulps(y[i], exp((double)x[i])) <= 2))
            fail_msg("exp(%.9g) is %.9g: %.2f ulp", (double)x[i], (double)y[i], ulps(y[i], exp((double)x[i])));
    mem_free(x);
    mem_free(y);
}

static void test_exp_near_multiples(void **state)
{
    (void)state;
    for (int n = -126; n <= 127; n++)
        for (int side = -2; side <= 2; side++) {
            float x = (float)((n + 0.5) * M_LN2) * (1 + (float)side * FLT_EPSILON), y;
            vector_exp(&y, &x, 1);
            assert_true(exp((double)x) < (double)FLT_MIN || ulps(y, exp((double)x)) <= 2);
        }
}

static void test_exp_edges(void **state)
{
    (void)state;
    float x[] = {0,      -0.0f,  -INFINITY, INFINITY, NAN, -88, -1e30f, 89, 1e30f,
                 1e-30f, -87.4f, 88.7228f,  0,        0,   0,   0,      0,  0};
    enum { N = sizeof x / sizeof *x };
    float y[N];
    vector_exp(y, x, N);
    assert_true(y[0] == 1 && y[1] == 1 && y[2] == 0 && isinf(y[3]) && isnan(y[4]) && y[5] == 0 && y[6] == 0);
    assert_true(isinf(y[7]) && isinf(y[8]) && y[9] == 1 && y[10] == 0 && isfinite(y[11]));
    vector_exp(y, x, 0);
}

struct fixture {
    int64_t T, V, ld;
    float *z;
    uint64_t *allowed;
};

static bool is_allowed(const struct fixture *f, int64_t j)
{
    return !f->allowed || (f->allowed[j / 64] >> (j % 64) & 1);
}

static void fixture_init(struct fixture *f, int64_t T, int64_t V, bool masked)
{
    *f = (struct fixture){.T = T, .V = V, .ld = V + 5, .z = random_floats((uint64_t)V, T * (V + 5), 30)};
    if (!masked)
        return;
    struct rng r;
    rng_init(&r, 9, 0);
    f->allowed = mem_array((size_t)V / 64 + 1, sizeof *f->allowed);
    for (int64_t w = 0; w <= V / 64; w++)
        f->allowed[w] = w % 5 == 1 ? 0 : w % 5 == 2 ? UINT64_MAX : rng_u64(&r);
    for (int64_t j = 0; j < V; j++)
        if (!is_allowed(f, j))
            for (int64_t t = 0; t < T; t++)
                f->z[t * f->ld + j] = j % 3 ? 1e30f : NAN; /* must never be looked at */
}

static void check_row(const struct fixture *f, int64_t t, float scale, float max, float sum, const float *p, float lse)
{
    double exact_max = -INFINITY, exact_sum = 0;
    for (int64_t j = 0; j < f->V; j++)
        if (is_allowed(f, j))
            exact_max = fmax(exact_max, (double)(f->z[t * f->ld + j] * scale));
    assert_true((double)max == exact_max);
    for (int64_t j = 0; j < f->V; j++)
        if (is_allowed(f, j))
            exact_sum += exp((double)(f->z[t * f->ld + j] * scale) - exact_max);
    assert_true(fabs((double)sum - exact_sum) <= 1e-6 * exact_sum);
    for (int64_t j = 0; j < f->V; j++) {
        const double exact = is_allowed(f, j) ? exp((double)(f->z[t * f->ld + j] * scale) - (double)lse) : 0;
        /* x = z scale - lse is rounded at up to 60: 4e-6 of exp(x) */
        assert_true(fabs((double)p[j] - exact) <= 5e-6 * exact + 1e-37);
    }
}

static void check(int64_t T, int64_t V, bool masked, float scale)
{
    struct fixture f;
    fixture_init(&f, T, V, masked);
    float *max = constant_floats(T, 0), *sum = constant_floats(T, 0), *lse = constant_floats(T, 0);
    float *p = constant_floats(T * f.ld, 77);
    softmax_max(max, f.z, f.ld, scale, f.allowed, T, V);
    softmax_sum(sum, f.z, f.ld, scale, max, f.allowed, T, V);
    for (int64_t t = 0; t < T; t++)
        lse[t] = max[t] + logf(sum[t]);
    softmax_probabilities(p, f.ld, f.z, f.ld, scale, lse, f.allowed, T, V);
    for (int64_t t = 0; t < T; t++) {
        check_row(&f, t, scale, max[t], sum[t], p + t * f.ld, lse[t]);
        assert_true(p[t * f.ld + V] == 77);
    }
    softmax_probabilities(f.z, f.ld, f.z, f.ld, scale, lse, f.allowed, T, V);
    for (int64_t t = 0; t < T; t++)
        assert_same("in place", f.z + t * f.ld, p + t * f.ld, V, sizeof *p);
    mem_free(max);
    mem_free(sum);
    mem_free(lse);
    mem_free(p);
    mem_free(f.z);
    mem_free(f.allowed);
}

static void test_rows(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 7, 63, 64, 65, 100, 511, 512, 513, 5000, 151936};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        check(3, widths[i], false, 1);
        if (widths[i] >= 5000)
            check(2, widths[i], true, 0.5f);
    }
    check(2, 63, true, 1); /* word 0 alone */
    check(0, 10, false, 1);
}

static void test_nothing_allowed(void **state)
{
    (void)state;
    enum { V = 70 };
    float *z = random_floats(3, V, 3), max, sum = 1, p[V];
    const uint64_t allowed[2] = {0};
    softmax_max(&max, z, V, 1, allowed, 1, V);
    softmax_sum(&sum, z, V, 1, &max, allowed, 1, V);
    softmax_probabilities(p, V, z, V, 1, &max, allowed, 1, V);
    assert_true(max == -INFINITY && sum == 0);
    for (int j = 0; j < V; j++)
        assert_true(p[j] == 0);
    mem_free(z);
}

static void test_not_a_number_shows(void **state)
{
    (void)state;
    float z[] = {1, NAN, 2}, max, sum;
    softmax_max(&max, z, 3, 1, NULL, 1, 3);
    softmax_sum(&sum, z, 3, 1, &max, NULL, 1, 3);
    assert_true(isnan(sum));
}

static void test_threads(void **state)
{
    (void)state;
    enum { T = 5, V = 20000 };
    struct err e = {0};
    float *z = random_floats(3, T * V, 10), one[T], many[T], max[T];
    for (int threads = 1; threads <= 3; threads += 2) {
        assert_done(gemm_start(threads, &e), &e);
        softmax_max(max, z, V, 1, NULL, T, V);
        softmax_sum(threads == 1 ? one : many, z, V, 1, max, NULL, T, V);
    }
    gemm_stop();
    assert_same("sum", many, one, T, sizeof *one);
    mem_free(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp),
        cmocka_unit_test(test_exp_near_multiples),
        cmocka_unit_test(test_exp_edges),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_nothing_allowed),
        cmocka_unit_test(test_not_a_number_shows),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
