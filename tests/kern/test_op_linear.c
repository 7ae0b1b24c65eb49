/* Vector arithmetic, biases, dropout and AdamW: against sums in double, against rng_philox one number at a time, and
 * against torch.optim.AdamW (tools/reference/kern_adamw.py). */
#include "numbers.h"

#include "test.h"

#include <math.h>
#include <string.h>

#include "base/cursor.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kern/gemm.h"
#include "kern/op_linear.h"

static void test_vectors(void **state)
{
    (void)state;
    static const int64_t sizes[] = {0, 1, 7, 8, 33, 70001};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int64_t n = sizes[s];
        float *x = random_floats(1, n, 1), *y = random_floats(2, n, 1), *y0 = random_floats(2, n, 1);
        vector_add(y, x, n);
        for (int64_t i = 0; i < n; i++)
            assert_true(y[i] == y0[i] + x[i]);
        vector_scale(y, 0.3f, n);
        for (int64_t i = 0; i < n; i++)
            assert_true(y[i] == (y0[i] + x[i]) * 0.3f);
        memcpy(y, y0, (size_t)n * sizeof *y);
        vector_axpy(y, -2.5f, x, n);
        for (int64_t i = 0; i < n; i++)
            assert_true(fabsf(y[i] - (y0[i] - 2.5f * x[i])) <= 3e-7f);
        mem_free(x);
        mem_free(y);
        mem_free(y0);
    }
}

static void test_sums(void **state)
{
    (void)state;
    static const int64_t sizes[] = {0, 1, 16384, 16385, 3000000};
    struct err e = {0};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int64_t n = sizes[s];
        float *x = random_floats(1, n, 1);
        double exact = 0, one = 0, many = 0;
        for (int64_t i = 0; i < n; i++)
            exact += (double)x[i] * (double)x[i];
        for (int threads = 1; threads <= 3; threads += 2) {
            assert_done(gemm_start(threads, &e), &e);
            *(threads == 1 ? &one : &many) = vector_sum_squares(x, n);
        }
        gemm_stop();
        assert_true(fabs(one - exact) <= 1e-12 * exact && one == many);
        mem_free(x);
    }
}

static void test_not_finite(void **state)
{
    (void)state;
    enum { N = 1000 };
    float *x = random_floats(1, N, 3e38f);
    assert_int_equal(vector_count_not_finite(x, N), 0);
    x[0] = NAN;
    x[17] = INFINITY;
    x[N - 1] = -INFINITY;
    assert_int_equal(vector_count_not_finite(x, N), 3);
    assert_int_equal(vector_count_not_finite(x, 0), 0);
    mem_free(x);
}

static void test_rows(void **state)
{
    (void)state;
    enum { ROWS = 211, N = 37, LDY = 40, LDA = 38, LDB = 37 };
    float *y = constant_floats(ROWS * LDY, 77), *a = random_floats(1, ROWS * LDA, 1),
          *b = random_floats(2, ROWS * LDB, 1);
    rows_add(y, LDY, a, LDA, b, LDB, ROWS, N);
    for (int t = 0; t < ROWS; t++)
        for (int i = 0; i < LDY; i++)
            assert_true(y[t * LDY + i] == (i < N ? a[t * LDA + i] + b[t * LDB + i] : 77));
    rows_add(y, LDY, y, LDY, b, LDB, ROWS, N); /* in place */
    for (int t = 0; t < ROWS; t++)
        for (int i = 0; i < LDY; i++)
            assert_true(y[t * LDY + i] == (i < N ? a[t * LDA + i] + b[t * LDB + i] + b[t * LDB + i] : 77));
    rows_scale(y, LDY, 0.3f, a, LDA, ROWS, N);
    for (int t = 0; t < ROWS; t++)
        for (int i = 0; i < LDY; i++)
            assert_true(y[t * LDY + i] == (i < N ? a[t * LDA + i] * 0.3f : 77));
    mem_free(y);
    mem_free(a);
    mem_free(b);
}

static void test_bias(void **state)
{
    (void)state;
    enum { T = 9, N = 37, LD = 40 };
    float *y = random_floats(1, T * LD, 1), *y0 = random_floats(1, T * LD, 1), *b = random_floats(2, N, 1);
    bias_forward(y, LD, b, T, N);
    for (int t = 0; t < T; t++)
        for (int i = 0; i < LD; i++)
            assert_true(y[t * LD + i] == (i < N ? y0[t * LD + i] + b[i] : y0[t * LD + i]));
    float *db = constant_floats(N, 1), *expected = constant_floats(N, 1);
    bias_backward(db, y0, LD, T, N);
    for (int i = 0; i < N; i++) {
        double sum = 1;
        for (int t = 0; t < T; t++)
            sum += (double)y0[t * LD + i];
        expected[i] = (float)sum;
    }
    assert_close("db", db, expected, N, 1e-6);
    float *all[] = {y, y0, b, db, expected};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        mem_free(all[i]);
}

/* --- dropout --- */

enum { T = 3, D = 301 };
static const uint64_t place[T] = {7, UINT64_C(3) << 32 | 5, 0};

static void test_dropout_definition(void **state)
{
    (void)state;
    const float p = 0.3f;
    const uint64_t key = 0x123456789ABCDEFu, stream = 13;
    const int64_t first = 6; /* a shard that starts inside a Philox block */
    float *x = random_floats(1, T * D, 1), *y = constant_floats(T * D, 77);
    dropout_apply(y, D, x, D, p, key, stream, place, first, T, D);
    for (int t = 0; t < T; t++)
        for (int i = 0; i < D; i++) {
            const uint64_t f = (uint64_t)(first + i);
            const uint32_t number = rng_philox(key, place[t], stream << 32 | f / 4).v[f % 4];
            const bool keep = (double)number >= (double)p * 0x1p32;
            const float expected = keep ? x[t * D + i] * (float)(1 / (1 - (double)p)) : 0;
            assert_true(y[t * D + i] == expected);
        }
    dropout_apply(x, D, x, D, p, key, stream, place, first, T, D);
    assert_same("in place", x, y, T * D, sizeof *x);
    mem_free(x);
    mem_free(y);
}

/* Features cut at any point draw the same mask. */
static void test_dropout_shards(void **state)
{
    (void)state;
    float *x = random_floats(1, T * D, 1), *whole = constant_floats(T * D, 77), *cut = constant_floats(T * D, 77);
    dropout_apply(whole, D, x, D, 0.5f, 1, 2, place, 0, T, D);
    for (int64_t at = 0; at <= D; at += at < 10 ? 1 : 41) {
        dropout_apply(cut, D, x, D, 0.5f, 1, 2, place, 0, T, at);
        dropout_apply(cut + at, D, x + at, D, 0.5f, 1, 2, place, at, T, D - at);
        assert_same("shards", cut, whole, T * D, sizeof *x);
    }
    mem_free(x);
    mem_free(whole);
    mem_free(cut);
}

static void test_dropout_rate(void **state)
{
    (void)state;
    enum { ROWS = 100, WIDTH = 1000, N = ROWS * WIDTH };
    uint64_t places[ROWS];
    float *x = constant_floats(N, 1), *y = constant_floats(N, 0);
    for (uint64_t t = 0; t < ROWS; t++)
        places[t] = t;
    for (int step = 0; step < 4; step++) {
        const float p = 0.1f + 0.25f * (float)step;
        double sum = 0;
        dropout_apply(y, WIDTH, x, WIDTH, p, 5, 6, places, 0, ROWS, WIDTH);
        for (int i = 0; i < N; i++)
            sum += (double)y[i];
        /* mean 1, five standard deviations of the mean of N draws */
        assert_true(fabs(sum / N - 1) < 5 * sqrt((double)p / (1 - (double)p) / N));
    }
    dropout_apply(y, WIDTH, x, WIDTH, 0, 5, 6, places, 0, ROWS, WIDTH);
    assert_same("p = 0", y, x, N, sizeof *x);
    mem_free(x);
    mem_free(y);
}

/* --- AdamW --- */

struct golden {
    struct file_map map;
    struct cursor c;
    int64_t n, steps;
    struct adamw a;
    float *w, *m, *v, *w_ref, *m_ref, *v_ref;
};

static void golden_open(struct golden *g)
{
    struct err e = {0};
    *g = (struct golden){0};
    assert_done(file_map_open(&g->map, TEST_FILES "/adamw.bin", &e), &e);
    cursor_init(&g->c, g->map.data, g->map.size);
    g->n = cursor_u32(&g->c);
    g->steps = cursor_u32(&g->c);
    g->a.learning_rate = cursor_f64(&g->c);
    g->a.beta1 = cursor_f64(&g->c);
    g->a.beta2 = cursor_f64(&g->c);
    g->a.eps = cursor_f64(&g->c);
    g->a.weight_decay = cursor_f64(&g->c);
    float **arrays[] = {&g->w, &g->m, &g->v, &g->w_ref, &g->m_ref, &g->v_ref};
    for (int i = 0; i < 6; i++)
        *arrays[i] = constant_floats(g->n, 0);
    memcpy(g->w, cursor_array(&g->c, (uint64_t)g->n, 4), (size_t)g->n * 4);
    memcpy(g->w_ref, g->w, (size_t)g->n * 4);
}

static void golden_close(struct golden *g)
{
    float *arrays[] = {g->w, g->m, g->v, g->w_ref, g->m_ref, g->v_ref};
    for (int i = 0; i < 6; i++)
        mem_free(arrays[i]);
    file_map_close(&g->map);
}

static void test_adamw(void **state)
{
    (void)state;
    struct golden g;
    golden_open(&g);
    float *scaled = constant_floats(g.n, 0), *expected = constant_floats(g.n, 0);
    g.a.scale = 0.25f;
    for (g.a.step = 1; g.a.step <= g.steps; g.a.step++) {
        memcpy(scaled, cursor_array(&g.c, (uint64_t)g.n, 4), (size_t)g.n * 4);
        for (int64_t i = 0; i < g.n; i++)
            expected[i] = (float)cursor_f64(&g.c);
        assert_true(cursor_ok(&g.c));
        vector_scale(scaled, 4, g.n); /* undone by scale: exact in powers of two */
        adamw_update(g.w, g.m, g.v, scaled, g.n, &g.a);
        adamw_update_ref(g.w_ref, g.m_ref, g.v_ref, scaled, g.n, &g.a);
        assert_close("torch, by definition", g.w_ref, expected, g.n, 2e-7);
        assert_close("torch", g.w, expected, g.n, 4e-7);
        assert_close("m", g.m, g.m_ref, g.n, 4e-7);
        assert_close("v", g.v, g.v_ref, g.n, 4e-7);
    }
    mem_free(scaled);
    mem_free(expected);
    golden_close(&g);
}

/* A slice updated alone has the bits of the whole update (optimizer state is cut over ranks). */
static void test_adamw_slices(void **state)
{
    (void)state;
    enum { N = 1003 };
    const struct adamw a = {1e-3, 0.9, 0.999, 1e-8, 0.01, 0.7f, 5};
    float *state_of[2][3], *g = random_floats(9, N, 1);
    for (int k = 0; k < 2; k++)
        for (uint64_t i = 0; i < 3; i++)
            state_of[k][i] = random_floats(i, N, 1);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < N; i++)
            state_of[k][2][i] = fabsf(state_of[k][2][i]);
    adamw_update(state_of[0][0], state_of[0][1], state_of[0][2], g, N, &a);
    for (int64_t i = 0, n; i < N; i += n) {
        n = i + 13 < N ? 13 : N - i;
        adamw_update(state_of[1][0] + i, state_of[1][1] + i, state_of[1][2] + i, g + i, n, &a);
    }
    for (int i = 0; i < 3; i++) {
        assert_same("slice", state_of[1][i], state_of[0][i], N, sizeof(float));
        mem_free(state_of[0][i]);
        mem_free(state_of[1][i]);
    }
    mem_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_not_finite),     cmocka_unit_test(test_rows),
        cmocka_unit_test(test_bias),           cmocka_unit_test(test_dropout_definition),
        cmocka_unit_test(test_dropout_shards), cmocka_unit_test(test_dropout_rate),
        cmocka_unit_test(test_adamw),          cmocka_unit_test(test_adamw_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
