/* The ops that work row by row (RMS norm, SwiGLU, rotary positions, embedding): each against its definition in double
 * and its backward against differences, with rows further apart than they are wide and widths that fill no vector. */
#include "numbers.h"

#include "test.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "kern/gemm.h"
#include "kern/op_embedding.h"
#include "kern/op_rms_norm.h"
#include "kern/op_rope.h"
#include "kern/op_swiglu.h"
#include "kern/quant.h"

static const struct {
    int64_t T, D;
} shapes[] = {{0, 8}, {1, 1}, {1, 576}, {3, 37}, {5, 64}, {40, 1000}};
enum { SHAPES = sizeof shapes / sizeof *shapes, GAP = 5 };

/* L = sum of y * dy over rows ld apart */
static double inner(const float *y, const float *dy, int64_t ld, int64_t T, int64_t D)
{
    double sum = 0;
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = 0; i < D; i++)
            sum += (double)y[t * ld + i] * (double)dy[t * ld + i];
    return sum;
}

/* --- RMS norm --- */

struct norm {
    int64_t T, D, ld;
    float eps;
    float *x, *g, *dy, *r, *y, *r_ref, *y_ref;
};

static void norm_init(struct norm *n, int64_t T, int64_t D, float size)
{
    *n = (struct norm){.T = T, .D = D, .ld = D + GAP, .eps = 1e-5f};
    n->x = random_floats(1, T * n->ld, size);
    n->g = random_floats(2, D, 2);
    n->dy = random_floats(3, T * n->ld, 1);
    n->r = constant_floats(T, 0);
    n->r_ref = constant_floats(T, 0);
    n->y = constant_floats(T * n->ld, 77);
    n->y_ref = constant_floats(T * n->ld, 77);
    n->g[D / 2] = 0;
    for (int64_t i = 0; T > 1 && i < D; i++)
        n->x[n->ld + i] *= 1e-4f; /* a row in which eps matters */
}

static void norm_release(struct norm *n)
{
    float *all[] = {n->x, n->g, n->dy, n->r, n->y, n->r_ref, n->y_ref};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        mem_free(all[i]);
}

static void norm_compare(int64_t T, int64_t D, float size)
{
    struct norm n;
    norm_init(&n, T, D, size);
    rms_norm_forward(n.r, n.y, n.ld, n.x, n.ld, n.g, n.eps, T, D);
    rms_norm_forward_ref(n.r_ref, n.y_ref, n.ld, n.x, n.ld, n.g, n.eps, T, D);
    assert_close("r", n.r, n.r_ref, T, 1e-6);
    assert_close("y", n.y, n.y_ref, T * n.ld, 1e-6);

    float *dx = random_floats(4, T * n.ld, 1), *dx_ref = random_floats(4, T * n.ld, 1);
    float *dg = random_floats(5, D, 1), *dg_ref = random_floats(5, D, 1);
    rms_norm_backward(dx, n.ld, dg, n.dy, n.ld, n.x, n.ld, n.g, n.r, T, D);
    rms_norm_backward_ref(dx_ref, n.ld, dg_ref, n.dy, n.ld, n.x, n.ld, n.g, n.r_ref, T, D);
    assert_close("dx", dx, dx_ref, T * n.ld, 2e-6);
    assert_close("dg", dg, dg_ref, D, 2e-6);
    rms_norm_backward(dx, n.ld, NULL, n.dy, n.ld, n.x, n.ld, n.g, n.r, T, D); /* a frozen gain */

    rms_norm_forward(n.r, n.x, n.ld, n.x, n.ld, n.g, n.eps, T, D);
    for (int64_t t = 0; t < T; t++)
        assert_same("in place", n.x + t * n.ld, n.y + t * n.ld, D, sizeof(float));
    mem_free(dx);
    mem_free(dx_ref);
    mem_free(dg);
    mem_free(dg_ref);
    norm_release(&n);
}

static void test_norm(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        norm_compare(shapes[i].T, shapes[i].D, 1);
        norm_compare(shapes[i].T, shapes[i].D, 1e-20f); /* squares are denormal or 0 */
    }
}

static double norm_loss(void *context)
{
    struct norm *n = context;
    rms_norm_forward_ref(n->r_ref, n->y_ref, n->ld, n->x, n->ld, n->g, n->eps, n->T, n->D);
    return inner(n->y_ref, n->dy, n->ld, n->T, n->D);
}

static void test_norm_gradient(void **state)
{
    (void)state;
    struct norm n;
    norm_init(&n, 3, 37, 1);
    for (int64_t i = 0; i < n.D; i++)
        n.x[n.ld + i] *= 1e4f; /* differences need x well above the step */
    float *dx = constant_floats(n.T * n.ld, 0), *dg = constant_floats(n.D, 0);
    rms_norm_forward(n.r, n.y, n.ld, n.x, n.ld, n.g, n.eps, n.T, n.D);
    rms_norm_backward(dx, n.ld, dg, n.dy, n.ld, n.x, n.ld, n.g, n.r, n.T, n.D);
    assert_gradient("dx", n.x, dx, n.T * n.ld, norm_loss, &n, 2e-3);
    assert_gradient("dg", n.g, dg, n.D, norm_loss, &n, 2e-3);
    mem_free(dx);
    mem_free(dg);
    norm_release(&n);
}

/* dg sums rows in order: as many threads as you like, the same bits. */
static void test_norm_threads(void **state)
{
    (void)state;
    struct err e = {0};
    struct norm n;
    norm_init(&n, 300, 200, 1);
    rms_norm_forward(n.r, n.y, n.ld, n.x, n.ld, n.g, n.eps, n.T, n.D);
    float *dx[2], *dg[2];
    for (int i = 0; i < 2; i++) {
        dx[i] = constant_floats(n.T * n.ld, 0);
        dg[i] = constant_floats(n.D, 0);
        assert_done(gemm_start(1 + 2 * i, &e), &e);
        rms_norm_backward(dx[i], n.ld, dg[i], n.dy, n.ld, n.x, n.ld, n.g, n.r, n.T, n.D);
    }
    gemm_stop();
    assert_same("dx", dx[1], dx[0], n.T * n.ld, sizeof(float));
    assert_same("dg", dg[1], dg[0], n.D, sizeof(float));
    for (int i = 0; i < 2; i++) {
        mem_free(dx[i]);
        mem_free(dg[i]);
    }
    norm_release(&n);
}

/* --- SwiGLU --- */

struct swiglu {
    int64_t T, F, ld;
    float *gate, *up, *dh, *h;
};

static void swiglu_init(struct swiglu *s, int64_t T, int64_t F)
{
    *s = (struct swiglu){.T = T, .F = F, .ld = F + GAP};
    s->gate = random_floats(1, T * s->ld, 8);
    s->up = random_floats(2, T * s->ld, 2);
    s->dh = random_floats(3, T * s->ld, 1);
    s->h = constant_floats(T * s->ld, 77);
}

static void swiglu_release(struct swiglu *s)
{
    mem_free(s->gate);
    mem_free(s->up);
    mem_free(s->dh);
    mem_free(s->h);
}

static void swiglu_compare(int64_t T, int64_t F)
{
    struct swiglu s;
    swiglu_init(&s, T, F);
    const int64_t n = T * s.ld;
    float *h_ref = constant_floats(n, 77), *dg = constant_floats(n, 77), *du = constant_floats(n, 77);
    float *dg_ref = constant_floats(n, 77), *du_ref = constant_floats(n, 77);
    swiglu_forward(s.h, s.ld, s.gate, s.ld, s.up, s.ld, T, F);
    swiglu_forward_ref(h_ref, s.ld, s.gate, s.ld, s.up, s.ld, T, F);
    assert_close("h", s.h, h_ref, n, 1e-6);
    swiglu_backward(dg, s.ld, du, s.ld, s.dh, s.ld, s.gate, s.ld, s.up, s.ld, T, F);
    swiglu_backward_ref(dg_ref, s.ld, du_ref, s.ld, s.dh, s.ld, s.gate, s.ld, s.up, s.ld, T, F);
    assert_close("dgate", dg, dg_ref, n, 1e-6);
    assert_close("dup", du, du_ref, n, 1e-6);
    swiglu_backward(s.gate, s.ld, s.up, s.ld, s.dh, s.ld, s.gate, s.ld, s.up, s.ld, T, F);
    for (int64_t t = 0; t < T; t++) {
        assert_same("dgate in place", s.gate + t * s.ld, dg + t * s.ld, F, sizeof(float));
        assert_same("dup in place", s.up + t * s.ld, du + t * s.ld, F, sizeof(float));
    }
    float *all[] = {h_ref, dg, du, dg_ref, du_ref};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        mem_free(all[i]);
    swiglu_release(&s);
}

static void test_swiglu(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        swiglu_compare(shapes[i].T, shapes[i].D);
}

static void test_swiglu_extremes(void **state)
{
    (void)state;
    const float gate[] = {-1e4f, -100, 100, 1e4f, 0}, up[] = {2, 2, 2, 2, 2}, dh[] = {1, 1, 1, 1, 1};
    float h[5], dgate[5], dup[5];
    swiglu_forward(h, 5, gate, 5, up, 5, 1, 5);
    swiglu_backward(dgate, 5, dup, 5, dh, 5, gate, 5, up, 5, 1, 5);
    assert_true(h[0] == 0 && fabsf(h[1]) < 1e-30f && h[2] == 200 && h[3] == 2e4f && h[4] == 0);
    assert_true(dgate[0] == 0 && fabsf(dgate[1]) < 1e-30f && dgate[2] == 2 && dgate[3] == 2 && dgate[4] == 1);
    assert_true(dup[0] == 0 && dup[2] == 100 && dup[3] == 1e4f);
}

static double swiglu_loss(void *context)
{
    struct swiglu *s = context;
    swiglu_forward_ref(s->h, s->ld, s->gate, s->ld, s->up, s->ld, s->T, s->F);
    return inner(s->h, s->dh, s->ld, s->T, s->F);
}

static void test_swiglu_gradient(void **state)
{
    (void)state;
    struct swiglu s;
    swiglu_init(&s, 3, 21);
    float *dgate = constant_floats(s.T * s.ld, 0), *dup = constant_floats(s.T * s.ld, 0);
    swiglu_backward(dgate, s.ld, dup, s.ld, s.dh, s.ld, s.gate, s.ld, s.up, s.ld, s.T, s.F);
    assert_gradient("dgate", s.gate, dgate, s.T * s.ld, swiglu_loss, &s, 1e-3);
    assert_gradient("dup", s.up, dup, s.T * s.ld, swiglu_loss, &s, 1e-3);
    mem_free(dgate);
    mem_free(dup);
    swiglu_release(&s);
}

/* --- rotary positions --- */

enum { H = 3, ROPE_D = 22, ROPE_T = 7, POSITIONS = 2100 };

static void test_rope(void **state)
{
    (void)state;
    const int32_t position[ROPE_T] = {0, 1, 2, 0, 1, 2000, 2099};
    const int64_t ld = H * ROPE_D + GAP, n = ROPE_T * ld;
    float w[ROPE_D / 2], *c = constant_floats(POSITIONS * ROPE_D / 2, 0),
                         *s = constant_floats(POSITIONS * ROPE_D / 2, 0);
    rope_frequencies(w, ROPE_D, 10000, NULL);
    rope_table(c, s, w, POSITIONS, ROPE_D);
    float *x = random_floats(1, n, 1), *x_ref = random_floats(1, n, 1), *x_before = random_floats(1, n, 1);
    rope_apply(x, ld, position, c, s, 1, ROPE_T, H, ROPE_D);
    rope_apply_ref(x_ref, ld, position, c, s, 1, ROPE_T, H, ROPE_D);
    assert_close("x", x, x_ref, n, 5e-7);
    assert_same("position 0", x, x_before, H * ROPE_D, sizeof *x);
    /* the backward of a rotation is its transpose, which is the rotation back */
    rope_apply(x, ld, position, c, s, -1, ROPE_T, H, ROPE_D);
    assert_close("back", x, x_before, n, 5e-7);
    rope_apply(x, ld, position, c, s, 1, 0, H, ROPE_D);
    float *all[] = {c, s, x, x_ref, x_before};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        mem_free(all[i]);
}

/* y . dy does not change when the gradient goes through direction -1: <R x, dy> = <x, R^T dy> */
static void test_rope_gradient(void **state)
{
    (void)state;
    const int32_t position[] = {5};
    float w[4], c[6 * 4], s[6 * 4];
    rope_frequencies(w, 8, 10000, NULL);
    rope_table(c, s, w, 6, 8);
    for (int i = 0; i < 8; i++) {
        float x[8] = {0}, dy[8];
        for (int j = 0; j < 8; j++)
            dy[j] = (float)(j * j % 5) - 1.5f;
        float keep[8];
        memcpy(keep, dy, sizeof dy);
        x[i] = 1;
        rope_apply_ref(x, 8, position, c, s, 1, 1, 1, 8);
        rope_apply(dy, 8, position, c, s, -1, 1, 1, 8);
        assert_true(fabs(inner(x, keep, 8, 1, 8) - (double)dy[i]) < 1e-6);
    }
}

/* Llama 3.1: theta 500000, head 128, factor 8, low 1, high 4, original 8192. Values from the formula by hand. */
static void test_rope_scaling(void **state)
{
    (void)state;
    const struct rope_scaling llama3 = {
        .factor = 8, .low_freq_factor = 1, .high_freq_factor = 4, .original_max_positions = 8192};
    const struct rope_scaling linear = {.linear_factor = 4};
    float plain[64], scaled[64], divided[64];
    rope_frequencies(plain, 128, 500000, NULL);
    rope_frequencies(scaled, 128, 500000, &llama3);
    rope_frequencies(divided, 128, 500000, &linear);
    for (int i = 0; i < 64; i++) {
        const double wavelength = 2 * M_PI / (double)plain[i];
        assert_true(fabsf(divided[i] * 4 - plain[i]) <= 1e-7f * plain[i]);
        if (wavelength < 2048)
            assert_true(scaled[i] == plain[i]);
        else if (wavelength > 8192)
            assert_true(fabsf(scaled[i] * 8 - plain[i]) <= 1e-6f * plain[i]);
        else
            assert_true(scaled[i] < plain[i] && scaled[i] > plain[i] / 8);
    }
    /* i = 32: w = 500000^-0.5, wavelength 4442.9, keep = (8192 / 4442.9 - 1) / 3 = 0.281283 */
    assert_true(fabs((double)scaled[32] - 0.00141421356 * (0.281283 + 0.718717 / 8)) < 1e-8);
    const struct rope_scaling none = {0};
    rope_frequencies(scaled, 128, 500000, &none);
    assert_same("none", scaled, plain, 64, sizeof *plain);
    assert_true(plain[0] == 1);
}

/* --- embedding --- */

static void test_embedding(void **state)
{
    (void)state;
    enum { ROWS = 6, D = 70, T = 5, FIRST = 10 };
    const uint32_t ids[T] = {12, 9, 15, 16, 12};
    float *table = random_floats(1, ROWS * D, 1), x[T * D], *dx = random_floats(2, T * D, 1);
    uint16_t half[ROWS * D];
    convert_f32_to_bf16(half, table, ROWS * D);
    const struct matrix f32 = {table, DTYPE_F32, ROWS, D, NULL}, bf16 = {half, DTYPE_BF16, ROWS, D, NULL};
    embedding_forward(x, ids, f32, FIRST, T);
    for (int t = 0; t < T; t++)
        for (int i = 0; i < D; i++)
            assert_true(x[t * D + i] == (t == 1 || t == 3 ? 0 : table[(ids[t] - FIRST) * D + (uint32_t)i]));
    embedding_forward(x, ids, bf16, FIRST, T);
    for (int i = 0; i < D; i++)
        assert_true(x[2 * D + i] == bf16_to_f32(half[5 * D + i]) && x[3 * D + i] == 0);

    float *dw = constant_floats(ROWS * D, 1);
    embedding_backward(dw, dx, ids, FIRST, ROWS, T, D);
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < D; i++) {
            float sum = 1;
            if (r == 2)
                sum = 1 + dx[i] + dx[4 * D + i];
            if (r == 5)
                sum = 1 + dx[2 * D + i];
            assert_true(dw[r * D + i] == sum);
        }
    embedding_forward(x, ids, f32, FIRST, 0);
    mem_free(table);
    mem_free(dx);
    mem_free(dw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_norm_gradient),
        cmocka_unit_test(test_norm_threads),
        cmocka_unit_test(test_swiglu),
        cmocka_unit_test(test_swiglu_extremes),
        cmocka_unit_test(test_swiglu_gradient),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_rope_gradient),
        cmocka_unit_test(test_rope_scaling),
        cmocka_unit_test(test_embedding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
