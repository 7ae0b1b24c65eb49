/* Attention against its definition in double and against differences: packed documents, uneven grouping of heads,
 * widths that fill no vector, rows further apart than they are wide; the same bits whatever the number of threads. Both
 * ways to compute it: in f32, and with products in bf16, which run by their definition where the CPU has none. */
#include "numbers.h"

#include "test.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kern/attention_engines.h"
#include "kern/gemm.h"
#include "kern/op_attention.h"
#include "kern/op_linear.h"

enum { GAP = 3 }; /* between rows: must be neither read into results nor written */

struct fixture {
    struct attention_shape s;
    const struct block_bf16 *products;                               /* NULL: f32 */
    float *q, *k, *v, *dout;                                         /* inputs */
    float *out, *lse, *dq, *dk, *dv, *delta;                         /* of the kernels */
    float *out_ref, *lse_ref, *dq_ref, *dk_ref, *dv_ref, *delta_ref; /* of the definition */
};

static const float UNTOUCHED = 77.5f;

static int64_t q_size(const struct attention_shape *s)
{
    return s->T * s->ldq;
}

static int64_t k_size(const struct attention_shape *s)
{
    return s->T * s->ldk;
}

static void fixture_init(struct fixture *f, const int32_t *start, int documents, int H, int K, int D,
                         const int32_t *kv_of, float size)
{
    struct attention_shape *s = &f->s;
    f->products = NULL;
    *s = (struct attention_shape){.T = start[documents],
                                  .documents = documents,
                                  .start = start,
                                  .H = H,
                                  .K = K,
                                  .D = D,
                                  .kv_of = kv_of,
                                  .ldq = H * D + GAP,
                                  .ldk = K * D + GAP,
                                  .ldv = K * D + GAP,
                                  .ldo = H * D + GAP,
                                  .ldl = start[documents] + GAP,
                                  .scale = 1 / sqrtf((float)D)};
    f->q = random_floats(1, q_size(s), size);
    f->k = random_floats(2, k_size(s), size);
    f->v = random_floats(3, k_size(s), 1);
    f->dout = random_floats(4, q_size(s), 1);
    float **wide[] = {&f->out, &f->out_ref, &f->dq, &f->dq_ref}, **narrow[] = {&f->dk, &f->dk_ref, &f->dv, &f->dv_ref};
    float **rows[] = {&f->lse, &f->lse_ref, &f->delta, &f->delta_ref};
    for (int i = 0; i < 4; i++) {
        *wide[i] = constant_floats(q_size(s), UNTOUCHED);
        *narrow[i] = constant_floats(k_size(s), UNTOUCHED);
        *rows[i] = constant_floats(s->ldl * H, UNTOUCHED);
    }
}

/* Inputs become numbers that bf16 holds, so that only what lies between them and the results is rounded. */
static void use_bf16(struct fixture *f, const struct block_bf16 *products)
{
    struct attention_shape *s = &f->s;
    f->products = products;
    s->scratch_size = attention_bf16_scratch(s->T, s->H, s->K, s->D, true);
    s->scratch = mem_array(s->scratch_size, 1);
    vector_round(f->q, q_size(s));
    vector_round(f->k, k_size(s));
    vector_round(f->v, k_size(s));
    vector_round(f->dout, q_size(s));
}

static void fixture_release(struct fixture *f)
{
    mem_free(f->s.scratch);
    float *all[] = {f->q,  f->k,     f->v,       f->dout,    f->out,    f->lse,    f->dq,     f->dk,
                    f->dv, f->delta, f->out_ref, f->lse_ref, f->dq_ref, f->dk_ref, f->dv_ref, f->delta_ref};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        mem_free(all[i]);
}

static void run(struct fixture *f)
{
    if (f->products) {
        attention_bf16_forward(f->products, f->out, f->lse, f->q, f->k, f->v, &f->s);
        attention_bf16_backward(f->products, f->dq, f->dk, f->dv, f->delta, f->dout, f->q, f->k, f->v, f->out, f->lse,
                                &f->s);
        return;
    }
    attention_forward(f->out, f->lse, f->q, f->k, f->v, &f->s);
    attention_backward(f->dq, f->dk, f->dv, f->delta, f->dout, f->q, f->k, f->v, f->out, f->lse, &f->s);
}

static void compare(struct fixture *f)
{
    const struct attention_shape *s = &f->s;
    run(f);
    attention_forward_ref(f->out_ref, f->lse_ref, f->q, f->k, f->v, s);
    attention_backward_ref(f->dq_ref, f->dk_ref, f->dv_ref, f->delta_ref, f->dout, f->q, f->k, f->v, f->out_ref,
                           f->lse_ref, s);
    /* f32 sums over up to a thousand keys or queries: 1e-7 each, and the root of their number; bf16: half of 2^-8 */
    const bool bf16 = f->products != NULL;
    assert_close("out", f->out, f->out_ref, q_size(s), bf16 ? 4e-3 : 4e-6);
    assert_close("lse", f->lse, f->lse_ref, s->ldl * s->H, 2e-6);
    assert_close("dq", f->dq, f->dq_ref, q_size(s), bf16 ? 1e-2 : 1e-5);
    assert_close("dk", f->dk, f->dk_ref, k_size(s), bf16 ? 1e-2 : 1e-5);
    assert_close("dv", f->dv, f->dv_ref, k_size(s), bf16 ? 4e-3 : 1e-5);
}

static void compare_shapes(const struct block_bf16 *products)
{
    static const int32_t one[] = {0, 1}, block[] = {0, 64}, more[] = {0, 65}, packed[] = {0, 1, 20, 20, 83, 211, 300};
    static const int32_t rows_of_blocks[] = {0, 700, 956, 1000};
    static const struct {
        const int32_t *start;
        int documents, H, K, D;
        int32_t kv_of[8];
    } cases[] = {
        {one, 1, 1, 1, 1, {0}},
        {one, 1, 2, 1, 64, {0, 0}},
        {block, 1, 2, 2, 64, {0, 1}},
        {more, 1, 3, 1, 16, {0, 0, 0}},
        {packed, 6, 4, 2, 5, {0, 0, 0, 1}}, /* two ranks of a 9-head, 3-KV-head model
                                               look like this */
        {packed, 6, 3, 2, 37, {1, 0, 1}},
        {packed, 6, 2, 1, 128, {0, 0}},
        {packed, 6, 1, 1, 256, {0}},
        {rows_of_blocks, 3, 2, 1, 80, {0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        fixture_init(&f, cases[i].start, cases[i].documents, cases[i].H, cases[i].K, cases[i].D, cases[i].kv_of, 2);
        if (products)
            use_bf16(&f, products);
        compare(&f);
        fixture_release(&f);
    }
}

static void test_shapes(void **state)
{
    (void)state;
    compare_shapes(NULL);
    compare_shapes(&block_bf16_ref);
}

/* oneDNN's products, where the CPU has them. */
static void test_products(void **state)
{
    (void)state;
    struct err e = {0};
    assert_done(gemm_start(2, &e), &e);
    const struct block_bf16 *products = gemm_blocks();
    if (!products) {
        assert_int_equal(attention_scratch(PRECISION_BF16, 100, 3, 1, 64, true), 0);
        gemm_stop();
        skip();
    }
    assert_int_equal(attention_scratch(PRECISION_BF16, 100, 3, 1, 64, true),
                     attention_bf16_scratch(100, 3, 1, 64, true));
    assert_int_equal(attention_scratch(PRECISION_F32, 100, 3, 1, 64, true), 0);
    compare_shapes(products);
    gemm_stop();
}

/* A document has the same bits in whatever company, and when the scratch takes in one document at a time. */
static void test_company(void **state)
{
    (void)state;
    enum { TOKENS = 300, H = 3, K = 2, D = 24 };
    static const int32_t alone[] = {0, TOKENS}, beside[] = {0, 100, 100 + TOKENS, 500}, kv_of[] = {0, 0, 1};
    struct fixture one, many;
    fixture_init(&one, alone, 1, H, K, D, kv_of, 2);
    fixture_init(&many, beside, 3, H, K, D, kv_of, 2);
    use_bf16(&one, &block_bf16_ref);
    use_bf16(&many, &block_bf16_ref);
    many.s.scratch_size = attention_bf16_scratch(TOKENS, H, K, D, true);
    const int64_t at_q = 100 * many.s.ldq, at_k = 100 * many.s.ldk;
    memcpy(one.q, many.q + at_q, (size_t)q_size(&one.s) * sizeof(float));
    memcpy(one.dout, many.dout + at_q, (size_t)q_size(&one.s) * sizeof(float));
    memcpy(one.k, many.k + at_k, (size_t)k_size(&one.s) * sizeof(float));
    memcpy(one.v, many.v + at_k, (size_t)k_size(&one.s) * sizeof(float));
    run(&one);
    run(&many);
    assert_same("out", many.out + at_q, one.out, q_size(&one.s), sizeof(float));
    assert_same("dq", many.dq + at_q, one.dq, q_size(&one.s), sizeof(float));
    assert_same("dk", many.dk + at_k, one.dk, k_size(&one.s), sizeof(float));
    assert_same("dv", many.dv + at_k, one.dv, k_size(&one.s), sizeof(float));
    fixture_release(&one);
    fixture_release(&many);
}

/* Scores of a hundred and more: exponentials must be relative to the running maximum. */
static void test_large_scores(void **state)
{
    (void)state;
    static const int32_t start[] = {0, 150}, kv_of[] = {0};
    struct fixture f;
    fixture_init(&f, start, 1, 1, 1, 32, kv_of, 20);
    compare(&f);
    use_bf16(&f, &block_bf16_ref);
    compare(&f);
    fixture_release(&f);
}

static void test_no_tokens(void **state)
{
    (void)state;
    static const int32_t start[] = {0, 0}, kv_of[] = {0};
    struct fixture f;
    fixture_init(&f, start, 1, 1, 1, 8, kv_of, 1);
    run(&f);
    f.s.documents = 0;
    run(&f);
    fixture_release(&f);
}

static double loss(void *context)
{
    struct fixture *f = context;
    double sum = 0;
    attention_forward_ref(f->out_ref, f->lse_ref, f->q, f->k, f->v, &f->s);
    for (int64_t t = 0; t < f->s.T; t++)
        for (int64_t i = 0; i < f->s.H * f->s.D; i++)
            sum += (double)f->out_ref[t * f->s.ldo + i] * (double)f->dout[t * f->s.ldo + i];
    return sum;
}

static void clear_gaps(float *x, int64_t T, int64_t ld)
{
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = ld - GAP; i < ld; i++) {
            assert_true(x[t * ld + i] == UNTOUCHED);
            x[t * ld + i] = 0;
        }
}

static void test_gradient(void **state)
{
    (void)state;
    static const int32_t start[] = {0, 1, 9, 14}, kv_of[] = {0, 0, 1};
    struct fixture f;
    fixture_init(&f, start, 3, 3, 2, 6, kv_of, 2);
    run(&f);
    clear_gaps(f.dq, f.s.T, f.s.ldq);
    clear_gaps(f.dk, f.s.T, f.s.ldk);
    clear_gaps(f.dv, f.s.T, f.s.ldv);
    assert_gradient("dq", f.q, f.dq, q_size(&f.s), loss, &f, 1e-3);
    assert_gradient("dk", f.k, f.dk, k_size(&f.s), loss, &f, 1e-3);
    assert_gradient("dv", f.v, f.dv, k_size(&f.s), loss, &f, 1e-3);
    fixture_release(&f);
}

/* More threads than cores, than heads, than blocks: waits between items happen, and nothing changes. */
static void compare_threads(const struct block_bf16 *products)
{
    static const int32_t start[] = {0, 700, 720, 740, 1000}, kv_of[] = {0, 0, 1};
    struct err e = {0};
    struct fixture one, many;
    fixture_init(&one, start, 4, 3, 2, 24, kv_of, 2);
    fixture_init(&many, start, 4, 3, 2, 24, kv_of, 2);
    if (products) {
        use_bf16(&one, products);
        use_bf16(&many, products);
    }
    assert_done(gemm_start(1, &e), &e);
    run(&one);
    for (int threads = 2; threads <= 5; threads += 3) {
        assert_done(gemm_start(threads, &e), &e);
        run(&many);
        assert_same("out", many.out, one.out, q_size(&one.s), sizeof(float));
        assert_same("lse", many.lse, one.lse, one.s.ldl * 3, sizeof(float));
        assert_same("dq", many.dq, one.dq, q_size(&one.s), sizeof(float));
        assert_same("dk", many.dk, one.dk, k_size(&one.s), sizeof(float));
        assert_same("dv", many.dv, one.dv, k_size(&one.s), sizeof(float));
    }
    gemm_stop();
    fixture_release(&one);
    fixture_release(&many);
}

static void test_threads(void **state)
{
    (void)state;
    compare_threads(NULL);
    compare_threads(&block_bf16_ref);
}

/* The rows from `row` on by themselves, of which the first belong to a document that began before them. */
static void compare_rest(struct fixture *f, int row, int document)
{
    int32_t start[8];
    struct attention_shape rest = f->s;
    for (int n = document; n <= f->s.documents; n++)
        start[n - document] = f->s.start[n] - row;
    rest.T -= row;
    rest.documents -= document;
    rest.start = start;
    const struct attention_shape *s = &rest;
    float *out = constant_floats(q_size(&f->s), UNTOUCHED), *lse = constant_floats(f->s.ldl * f->s.H, UNTOUCHED);
    const float *q = f->q + row * s->ldq, *k = f->k + row * s->ldk, *v = f->v + row * s->ldv;
    if (f->products)
        attention_bf16_forward(f->products, out + row * s->ldo, lse + row, q, k, v, s);
    else
        attention_forward(out + row * s->ldo, lse + row, q, k, v, s);
    assert_same("out", out + row * s->ldo, f->out + row * s->ldo, s->T * s->ldo, sizeof(float));
    for (int h = 0; h < s->H; h++)
        assert_same("lse", lse + h * s->ldl + row, f->lse + h * s->ldl + row, s->T, sizeof(float));
    for (int64_t i = 0; i < row * s->ldo; i++)
        assert_true(out[i] == UNTOUCHED);
    mem_free(out);
    mem_free(lse);
}

static void test_rest_of_a_document(void **state)
{
    (void)state;
    static const int32_t start[] = {0, 30, 300, 700}, kv_of[] = {0, 0, 1};
    for (int bf16 = 0; bf16 < 2; bf16++) {
        struct err e = {0};
        struct fixture f;
        fixture_init(&f, start, 3, 3, 2, 24, kv_of, 2);
        if (bf16)
            use_bf16(&f, &block_bf16_ref);
        assert_done(gemm_start(2, &e), &e);
        run(&f);
        compare_rest(&f, 30, 1);
        compare_rest(&f, 30 + 64, 1);
        compare_rest(&f, 30 + 4 * 64, 1);
        compare_rest(&f, 300 + 6 * 64, 2);
        gemm_stop();
        fixture_release(&f);
    }
}

static void test_decode(void **state)
{
    (void)state;
    static const int64_t lengths[] = {1, 2, 63, 64, 65, 300};
    static const int32_t kv_of[] = {0, 0, 1, 1, 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const int32_t start[] = {0, (int32_t)lengths[i]};
        const int64_t last = lengths[i] - 1;
        struct fixture f;
        fixture_init(&f, start, 1, 5, 2, 19, kv_of, 2);
        attention_forward_ref(f.out_ref, f.lse_ref, f.q, f.k, f.v, &f.s);
        attention_decode(f.out, f.q + last * f.s.ldq, f.k, f.s.ldk, f.v, f.s.ldv, lengths[i], 5, 2, 19, kv_of,
                         f.s.scale);
        assert_close("out", f.out, f.out_ref + last * f.s.ldo, 5 * 19, 4e-6);
        fixture_release(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),   cmocka_unit_test(test_large_scores), cmocka_unit_test(test_no_tokens),
        cmocka_unit_test(test_products), cmocka_unit_test(test_company),      cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_threads),  cmocka_unit_test(test_decode),       cmocka_unit_test(test_rest_of_a_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
