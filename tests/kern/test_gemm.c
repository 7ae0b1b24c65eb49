/* The GEMM door against double sums: all three products in f32 and bf16, weights of both types, shapes from one element
 * to several tiles and panels, rows further apart than they are wide; the same bits whatever the number of threads. */
#include "numbers.h"

#include "test.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/mem.h"
#include "kern/gemm.h"
#include "kern/gemm_dnnl.h"
#include "kern/isa.h"
#include "kern/op_few_rows.h"
#include "kern/panel_pack.h"
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
    f->w = (struct matrix){dtype == DTYPE_F32 ? (void *)f->w_f32 : f->w_bf16, dtype, rows, cols, NULL};
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

enum kind { FORWARD, BACKWARD_INPUT, BACKWARD_WEIGHT };

static void run(const struct fixture *f, float *out, enum kind kind, enum precision precision, bool accumulate)
{
    if (kind == FORWARD)
        gemm_forward(precision, out, f->ldy, f->x, f->ldx, f->w, f->M, accumulate);
    else if (kind == BACKWARD_INPUT)
        gemm_backward_input(precision, out, f->ldx, f->y, f->ldy, f->w, f->M, accumulate);
    else
        gemm_backward_weight(precision, out, f->ldx, f->y, f->ldy, f->x, f->ldx, f->rows, f->cols, f->M);
}

static void run_ref(const struct fixture *f, enum kind kind, enum precision precision, bool accumulate)
{
    if (kind == FORWARD)
        gemm_forward_ref(precision, f->ref, f->ldy, f->x, f->ldx, f->w, f->M, accumulate);
    else if (kind == BACKWARD_INPUT)
        gemm_backward_input_ref(precision, f->ref, f->ldx, f->y, f->ldy, f->w, f->M, accumulate);
    else
        gemm_backward_weight_ref(precision, f->ref, f->ldx, f->y, f->ldy, f->x, f->ldx, f->rows, f->cols, f->M);
}

/* The gaps between rows are compared, too: out and ref began as the same numbers. */
static void check(int64_t M, int64_t rows, int64_t cols, enum dtype dtype)
{
    static const char *const names[] = {"forward", "backward_input", "backward_weight"};
    for (enum precision precision = PRECISION_F32; precision <= PRECISION_BF16; precision++)
        for (enum kind kind = FORWARD; kind <= BACKWARD_WEIGHT; kind++)
            for (int accumulate = 0; accumulate <= 1; accumulate++) {
                struct fixture f;
                fixture_init(&f, M, rows, cols, dtype);
                run(&f, f.out, kind, precision, accumulate);
                run_ref(&f, kind, precision, accumulate);
                /* f32 sums of up to two thousand products of both signs, one after the other */
                assert_close(names[kind], f.out, f.ref, f.size, 4e-6);
                fixture_release(&f);
            }
}

static void test_shapes(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {
        {1, 1, 1},     {0, 5, 7},    {1, 576, 64},  {4, 33, 1031},   {3, 16, 576},   {2, 7, 1000},
        {37, 53, 129}, {270, 21, 5}, {9, 290, 300}, {130, 40, 1300}, {5, 2100, 600},
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
    const struct matrix w = {&weight, DTYPE_F32, 1, 1, NULL};
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

/* A row's bits do not depend on what else is multiplied with it, nor a column's: blocks, strips and pieces may begin
 * anywhere. But few rows have a kernel of their own. */
static void check_rows_alone(const struct fixture *f, enum precision precision, int64_t rows, int64_t some)
{
    for (int64_t m = 0; m + some <= rows; m += 83) {
        gemm_forward(precision, f->ref, f->ldy, f->x + m * f->ldx, f->ldx, f->w, some, false);
        for (int64_t i = 0; i < some; i++)
            assert_same("row", f->ref + i * f->ldy, f->out + (m + i) * f->ldy, f->rows, sizeof *f->ref);
    }
    for (int64_t n = 1; n < f->rows; n += 999) {
        const struct matrix part = {f->w_bf16 + n * f->cols, DTYPE_BF16, f->rows - n, f->cols, NULL};
        gemm_forward(precision, f->ref, f->ldy, f->x, f->ldx, part, some, false);
        assert_same("columns", f->ref, f->out + n, f->rows - n, sizeof *f->ref);
    }
}

static void test_rows_alone(void **state)
{
    (void)state;
    enum { M = 250, N = 2100, K = 700 };
    struct err e = {0};
    struct fixture f;
    fixture_init(&f, M, N, K, DTYPE_BF16);
    assert_done(gemm_start(2, &e), &e);
    for (enum precision precision = PRECISION_F32; precision <= PRECISION_BF16; precision++) {
        run(&f, f.out, FORWARD, precision, false);
        check_rows_alone(&f, precision, M, FEW_ROWS + 1);
        check_rows_alone(&f, precision, M, 101);
        gemm_forward(precision, f.out, f.ldy, f.x, f.ldx, f.w, FEW_ROWS, false);
        check_rows_alone(&f, precision, FEW_ROWS, 1);
        check_rows_alone(&f, precision, FEW_ROWS, 3);
    }
    gemm_stop();
    fixture_release(&f);
}

static void test_threads(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {{1, 600, 600}, {270, 530, 290}, {1100, 24, 130}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (enum precision precision = PRECISION_F32; precision <= PRECISION_BF16; precision++)
            for (enum kind kind = FORWARD; kind <= BACKWARD_WEIGHT; kind++) {
                struct err e = {0};
                struct fixture f;
                fixture_init(&f, shapes[i][0], shapes[i][1], shapes[i][2], DTYPE_BF16);
                assert_done(gemm_start(1, &e), &e);
                run(&f, f.ref, kind, precision, true);
                for (int threads = 2; threads <= 5; threads += 3) {
                    float *out = random_floats(4, f.size, 1);
                    assert_done(gemm_start(threads, &e), &e);
                    assert_int_equal(gemm_threads(), threads);
                    run(&f, out, kind, precision, true);
                    assert_same("result", out, f.ref, f.size, sizeof *out);
                    mem_free(out);
                }
                fixture_release(&f);
            }
    gemm_stop();
}

/* The engine over oneDNN, which multiplies in f32 on every CPU, and in bf16 where that is there. */
static void check_dnnl(struct gemm_dnnl *g, int threads, const int64_t *shape, bool accumulate,
                       enum precision precision)
{
    const int64_t M = shape[0], rows = shape[1], cols = shape[2];
    const bool round = precision == PRECISION_BF16;
    struct fixture f;
    fixture_init(&f, M, rows, cols, DTYPE_BF16);
    const struct operand x = {f.x, DTYPE_F32, f.ldx, false, NULL}, w = {f.w_bf16, DTYPE_BF16, cols, false, NULL};
    const struct operand dy = {f.y, DTYPE_F32, f.ldy, false, NULL};
    const struct operand w_by_k = {w.data, w.dtype, w.ld, true, NULL}, dy_by_k = {dy.data, dy.dtype, dy.ld, true, NULL};
    const struct operand x_by_k = {x.data, x.dtype, x.ld, true, NULL};
    struct product products[] = {
        {f.out, f.ldy, x, w, M, rows, cols, accumulate, round},
        {f.out, f.ldx, dy, w_by_k, M, cols, rows, accumulate, round},
        {f.out, f.ldx, dy_by_k, x_by_k, rows, cols, M, true, round},
    };
    const size_t size = gemm_dnnl_packed_size(g, rows, cols);
    void *packed = accumulate ? mem_try(size) : NULL;
    if (packed)
        gemm_dnnl_pack(g, packed, &w, rows, cols, threads);
    for (enum kind kind = FORWARD; kind <= BACKWARD_WEIGHT; kind++) {
        memcpy(f.ref, f.out, (size_t)f.size * sizeof *f.ref);
        if (kind == FORWARD)
            products[kind].b.panels = packed;
        gemm_dnnl_multiply(g, &products[kind], 1, threads);
        run_ref(&f, kind, precision, accumulate);
        assert_close("oneDNN", f.out, f.ref, f.size, 4e-6);
    }
    if (packed)
        mem_free_large(packed, size);
    fixture_release(&f);
}

/* Two weights of one input, of which one was packed beforehand: the bits of one at a time. */
static void check_each(const int64_t *shape, enum dtype dtype, enum precision precision)
{
    struct fixture f, other;
    fixture_init(&f, shape[0], shape[1], shape[2], dtype);
    fixture_init(&other, shape[0], shape[1], shape[2], dtype);
    const size_t size = gemm_packed_size(precision, f.rows, f.cols);
    void *packed = size ? mem_try(size) : NULL;
    struct matrix w = f.w, part = {f.w.data, dtype, f.rows / 2 + 1, f.cols, NULL};
    if (packed) {
        gemm_pack(precision, packed, f.w);
        w = (struct matrix){NULL, dtype, f.rows, f.cols, packed};
    }
    const struct gemm_output outputs[] = {{f.out, f.ldy, w, false}, {other.out, f.ldy, part, true}};
    gemm_forward_each(precision, outputs, 2, f.x, f.ldx, f.M);
    gemm_forward(precision, f.ref, f.ldy, f.x, f.ldx, f.w, f.M, false);
    gemm_forward(precision, other.ref, f.ldy, f.x, f.ldx, part, f.M, true);
    assert_same("first", f.out, f.ref, f.size, sizeof *f.out);
    assert_same("second", other.out, other.ref, f.size, sizeof *f.out);
    if (packed)
        mem_free_large(packed, size);
    fixture_release(&f);
    fixture_release(&other);
}

static void test_each(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {{1, 1, 1},     {37, 53, 129},   {270, 1300, 300},
                                        {9, 40, 4600}, {1100, 80, 576}, {20, 70, 4160}};
    struct err e = {0};
    assert_done(gemm_start(2, &e), &e);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (enum precision precision = PRECISION_F32; precision <= PRECISION_BF16; precision++) {
            check_each(shapes[i], DTYPE_F32, precision);
            check_each(shapes[i], DTYPE_BF16, precision);
        }
    gemm_stop();
}

static void check_dnnl_shapes(struct gemm_dnnl *g, enum precision precision)
{
    /* every size of panel and rest, more than one group of each edge and of the depth */
    static const int64_t shapes[][3] = {{1, 1, 1},      {0, 5, 7},       {17, 576, 64}, {270, 21, 5},   {9, 290, 1100},
                                        {65, 130, 600}, {1100, 40, 300}, {3, 1200, 2},  {20, 33, 4500}, {2200, 16, 90}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int accumulate = 0; accumulate <= 1; accumulate++)
            check_dnnl(g, 1 + (int)i % 3, shapes[i], accumulate, precision);
}

static void test_dnnl(void **state)
{
    (void)state;
    struct err e = {0};
    omp_set_num_threads(1);
    struct gemm_dnnl *g = gemm_dnnl_new(DTYPE_F32, 3, &e);
    assert_done(g ? 0 : -1, &e);
    check_dnnl_shapes(g, PRECISION_F32);
    gemm_dnnl_free(g);
    gemm_dnnl_free(NULL);
    if (isa_used() < ISA_AVX512_BF16)
        return;
    g = gemm_dnnl_new(DTYPE_BF16, 3, &e);
    assert_done(g ? 0 : -1, &e);
    check_dnnl_shapes(g, PRECISION_BF16);
    gemm_dnnl_free(g);
}

/* --- panels, element by element --- */

static float element_of(const struct operand *o, int64_t outer, int64_t inner)
{
    float x;
    if (o->dtype == DTYPE_F32)
        return *(const float *)operand_at(o, outer, inner);
    convert_bf16_to_f32(&x, operand_at(o, outer, inner), 1);
    return x;
}

/* Element (edge i, depth k) of a panel. left: [edge, depth]; right: [words, edge], a word being an f32 or two bf16. */
static float panel_element(const void *panel, enum dtype type, bool left, int64_t edge, int64_t depth, int64_t i,
                           int64_t k)
{
    const int64_t pair = type == DTYPE_BF16 ? 2 : 1;
    const int64_t at = left ? i * depth + k : (k / pair * edge + i) * pair + k % pair;
    float x;
    if (type == DTYPE_F32)
        return ((const float *)panel)[at];
    convert_bf16_to_f32(&x, (const uint16_t *)panel + at, 1);
    return x;
}

static float rounded(float x, enum dtype type)
{
    uint16_t half;
    if (type == DTYPE_F32)
        return x;
    convert_f32_to_bf16(&half, &x, 1);
    convert_bf16_to_f32(&x, &half, 1);
    return x;
}

static void check_panel(enum dtype type, const struct operand *o, int64_t edge, int64_t depth, struct pack_part part)
{
    void *left = mem_array((size_t)(edge * depth), sizeof(float)),
         *right = mem_array((size_t)(edge * depth), sizeof(float));
    memset(left, 0xff, (size_t)(edge * depth) * sizeof(float));
    memset(right, 0xff, (size_t)(edge * depth) * sizeof(float));
    panel_pack_left(left, type, edge, depth, o, &part);
    panel_pack_right(right, type, edge, depth, o, &part);
    for (int64_t i = 0; i < edge; i++)
        for (int64_t k = 0; k < depth; k++) {
            const bool inside = i < part.count && k < part.depth;
            const float want = inside ? rounded(element_of(o, part.outer + i, part.inner + k), type) : 0;
            assert_true(panel_element(left, type, true, edge, depth, i, k) == want);
            assert_true(panel_element(right, type, false, edge, depth, i, k) == want);
        }
    mem_free(left);
    mem_free(right);
}

static void test_panels(void **state)
{
    (void)state;
    enum { ROWS = 300, LD = 333 };
    float *x = random_floats(5, ROWS * LD, 1);
    uint16_t *h = mem_array(ROWS * LD, sizeof *h);
    convert_f32_to_bf16(h, x, ROWS * LD);
    static const int64_t sizes[][4] = {{16, 64, 16, 64}, {16, 64, 3, 7},       {64, 256, 64, 256}, {64, 256, 50, 201},
                                       {64, 64, 64, 63}, {256, 256, 256, 256}, {256, 64, 200, 64}};
    for (int i = 0; i < (int)(sizeof sizes / sizeof *sizes); i++)
        for (int variant = 0; variant < 16; variant++) {
            const bool bf16 = variant & 1, by_inner = variant & 2;
            const int64_t ld = variant & 4 ? LD : LD - 1; /* words may straddle, or not */
            const struct operand o = {bf16 ? (void *)h : x, bf16 ? DTYPE_BF16 : DTYPE_F32, ld, by_inner, NULL};
            const int64_t *s = sizes[i], inner = variant & 4 ? 3 : 4, outer = 2;
            check_panel(variant & 8 ? DTYPE_BF16 : DTYPE_F32, &o, s[0], s[1],
                        (struct pack_part){outer, s[2], inner, s[3]});
        }
    mem_free(x);
    mem_free(h);
}

/* A CPU without bf16 is told so when the engine is made, not in a step. */
static void test_dnnl_refusal(void **state)
{
    (void)state;
    struct err e = {0};
    struct gemm_dnnl *g = gemm_dnnl_new(DTYPE_BF16, 1, &e);
    if (!g)
        assert_non_null(strstr(e.text, "cannot multiply BF16"));
    gemm_dnnl_free(g);
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
        cmocka_unit_test(test_shapes),  cmocka_unit_test(test_rounding), cmocka_unit_test(test_rows_alone),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_dnnl),     cmocka_unit_test(test_dnnl_refusal),
        cmocka_unit_test(test_panels),  cmocka_unit_test(test_each),     cmocka_unit_test(test_start_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
