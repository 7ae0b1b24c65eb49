/* The GEMM door against double sums: all three products in f32 and bf16, weights of both types, shapes from one element to
 * several tiles and panels, rows further apart than they are wide; the same bits whatever the number of threads. */
#include "numbers.h"

#include "test.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kern/gemm.h"
#include "kern/quant.h"

enum { GAP = 3 };

struct fixture {
    int64_t M, rows, cols, ldx, ldy;
    struct matrix w;
    uint16_t *w_bf16;
    float *w_f32, *x, *y, *out, *ref;
    int64_t size; /* of out and ref: the largest result */
};

static int64_t max3(int64_t a, int64_t b, int64_t c)
{
    return a > b ? (a > c ? a : c) : (b > c ? b : c);
}

static void fixture_init(struct fixture *f, int64_t M, int64_t rows, int64_t cols, enum dtype dtype)
{
    *f = (struct fixture){.M = M, .rows = rows, .cols = cols, .ldx = cols + GAP, .ldy = rows + GAP};
    f->size = max3(M * f->ldx, M * f->ldy, rows * f->ldx);
    f->x = random_floats(1, M * f->ldx, 1);
    f->y = random_floats(2, M * f->ldy, 1);
    f->w_f32 = random_floats(3, rows * cols, 1);
    f->w_bf16 = mem_array((size_t)(rows * cols), sizeof *f->w_bf16);
    convert_f32_to_bf16(f->w_bf16, f->w_f32, rows * cols);
    f->w = (struct matrix){dtype == DTYPE_F32 ? (void *)f->w_f32 : f->w_bf16, dtype, rows, cols};
    f->out = random_floats(4, f->size, 1);
    f->ref = random_floats(4, f->size, 1);
}

static void fixture_release(struct fixture *f)
{
    mem_free(f->x);
    mem_free(f->y);
    mem_free(f->w_f32);
    mem_free(f->w_bf16);
    mem_free(f->out);
    mem_free(f->ref);
}

enum product { FORWARD, BACKWARD_INPUT, BACKWARD_WEIGHT };

static void run(const struct fixture *f, float *out, enum product product, enum precision precision, bool accumulate)
{
    if (product == FORWARD)
        gemm_forward(precision, out, f->ldy, f->x, f->ldx, f->w, f->M, accumulate);
    else if (product == BACKWARD_INPUT)
        gemm_backward_input(precision, out, f->ldx, f->y, f->ldy, f->w, f->M, accumulate);
    else
        gemm_backward_weight(precision, out, f->ldx, f->y, f->ldy, f->x, f->ldx, f->rows, f->cols, f->M);
}

static void run_ref(const struct fixture *f, enum product product, enum precision precision, bool accumulate)
{
    if (product == FORWARD)
        gemm_forward_ref(precision, f->ref, f->ldy, f->x, f->ldx, f->w, f->M, accumulate);
    else if (product == BACKWARD_INPUT)
        gemm_backward_input_ref(precision, f->ref, f->ldx, f->y, f->ldy, f->w, f->M, accumulate);
    else
        gemm_backward_weight_ref(precision, f->ref, f->ldx, f->y, f->ldy, f->x, f->ldx, f->rows, f->cols, f->M);
}

/* The gaps between rows are compared, too: out and ref began as the same numbers. */
static void check(int64_t M, int64_t rows, int64_t cols, enum dtype dtype)
{
    static const char *const names[] = {"forward", "backward_input", "backward_weight"};
    for (enum precision precision = PRECISION_F32; precision <= PRECISION_BF16; precision++)
        for (enum product product = FORWARD; product <= BACKWARD_WEIGHT; product++)
            for (int accumulate = 0; accumulate <= 1; accumulate++) {
                struct fixture f;
                fixture_init(&f, M, rows, cols, dtype);
                run(&f, f.out, product, precision, accumulate);
                run_ref(&f, product, precision, accumulate);
                /* f32 sums of up to a thousand products of both signs: a few 1e-7 of the largest */
                assert_close(names[product], f.out, f.ref, f.size, 2e-6);
                fixture_release(&f);
            }
}

static void test_shapes(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {
        {1, 1, 1}, {0, 5, 7}, {1, 576, 64}, {3, 16, 576}, {2, 7, 1000}, {37, 53, 129}, {270, 21, 5}, {9, 290, 300},
    };
    struct err e = {0};
    assert_done(gemm_start(2, &e), &e);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check(shapes[i][0], shapes[i][1], shapes[i][2], DTYPE_F32);
        check(shapes[i][0], shapes[i][1], shapes[i][2], DTYPE_BF16);
    }
    gemm_stop();
}

/* bf16 is not f32: a product of two numbers that bf16 cannot hold shows that both were rounded. */
static void test_rounding(void **state)
{
    (void)state;
    const float x = 1 + 0x1p-10f, y = 3;
    float weight = 1 + 0x1p-12f, out;
    struct err e = {0};
    const struct matrix w = {&weight, DTYPE_F32, 1, 1};
    assert_done(gemm_start(1, &e), &e);
    gemm_forward(PRECISION_BF16, &out, 1, &x, 1, w, 1, false);
    assert_true(out == 1);
    gemm_forward(PRECISION_F32, &out, 1, &x, 1, w, 1, false);
    assert_true(fabsf(out - (1 + 0x1p-10f + 0x1p-12f)) < 1e-6f);
    gemm_backward_input(PRECISION_BF16, &out, 1, &x, 1, w, 1, false);
    assert_true(out == 1);
    out = 0.5f;
    gemm_backward_weight(PRECISION_BF16, &out, 1, &y, 1, &x, 1, 1, 1, 1);
    assert_true(out == 3.5f);
    gemm_stop();
}

static void test_threads(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {{1, 600, 600}, {270, 530, 290}, {1100, 24, 130}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (enum precision precision = PRECISION_F32; precision <= PRECISION_BF16; precision++)
            for (enum product product = FORWARD; product <= BACKWARD_WEIGHT; product++) {
                struct err e = {0};
                struct fixture f;
                fixture_init(&f, shapes[i][0], shapes[i][1], shapes[i][2], DTYPE_BF16);
                assert_done(gemm_start(1, &e), &e);
                run(&f, f.ref, product, precision, true);
                for (int threads = 2; threads <= 5; threads += 3) {
                    float *out = random_floats(4, f.size, 1);
                    assert_done(gemm_start(threads, &e), &e);
                    assert_int_equal(gemm_threads(), threads);
                    run(&f, out, product, precision, true);
                    assert_same("result", out, f.ref, f.size, sizeof *out);
                    mem_free(out);
                }
                fixture_release(&f);
            }
    gemm_stop();
}

static void test_start_stop(void **state)
{
    (void)state;
    struct err e = {0};
    gemm_stop();
    assert_int_equal(gemm_threads(), 1);
    assert_done(gemm_start(3, &e), &e);
    assert_done(gemm_start(2, &e), &e);
    assert_int_equal(gemm_threads(), 2);
    gemm_stop();
    gemm_stop();
    assert_int_equal(gemm_threads(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_start_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
