/* Conversions, bit for bit: against files made by the `gguf` package and PyTorch (tools/reference/kern_quant.py),
 * against every f16 there is, and array against single element. */
#include "numbers.h"

#include "test.h"

#include <math.h>
#include <string.h>

#include "base/cursor.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kern/quant.h"

static void open_golden(struct file_map *m, struct cursor *c, const char *name)
{
    struct err e = {0};
    char *path = mem_printf("%s/%s.bin", TEST_FILES, name);
    assert_done(file_map_open(m, path, &e), &e);
    cursor_init(c, m->data, m->size);
    mem_free(path);
}

static void check_type(enum dtype type)
{
    struct file_map m = {0};
    struct cursor c;
    uint64_t bytes;
    open_golden(&m, &c, dtype_name(type));
    const int64_t n = cursor_u32(&c);
    assert_true(dtype_bytes(type, n, &bytes) && dequantize_knows(type));
    const void *blocks = cursor_bytes(&c, bytes), *values = cursor_array(&c, (uint64_t)n, sizeof(float));
    assert_true(cursor_ok(&c) && cursor_left(&c) == 0 && n > 1000);
    float *y = constant_floats(n + 1, 77);
    dequantize(y, blocks, type, n);
    assert_same(dtype_name(type), y, values, n, sizeof *y);
    assert_true(y[n] == 77);
    dequantize(y, blocks, type, 0);
    mem_free(y);
    file_map_close(&m);
}

static void test_blocks(void **state)
{
    (void)state;
    check_type(DTYPE_Q8_0);
    check_type(DTYPE_Q4_0);
    check_type(DTYPE_Q4_1);
    check_type(DTYPE_Q4_K);
    check_type(DTYPE_Q6_K);
    assert_false(dequantize_knows(DTYPE_I32));
    assert_false(dequantize_knows(DTYPE_F64));
}

static void test_casts(void **state)
{
    (void)state;
    struct file_map m = {0};
    struct cursor c;
    open_golden(&m, &c, "casts");
    const int64_t n = cursor_u32(&c);
    float *x = mem_array((size_t)n, sizeof *x);
    memcpy(x, cursor_array(&c, (uint64_t)n, sizeof *x), (size_t)n * sizeof *x);
    const void *bf16 = cursor_array(&c, (uint64_t)n, 2), *f16 = cursor_array(&c, (uint64_t)n, 2);
    assert_true(cursor_ok(&c));
    uint16_t *y = mem_array((size_t)n, sizeof *y);
    convert_f32_to_bf16(y, x, n);
    assert_same("bf16", y, bf16, n, 2);
    convert_f32_to_f16(y, x, n);
    assert_same("f16", y, f16, n, 2);
    for (int64_t i = 0; i < n; i++)
        assert_int_equal(f32_to_f16(x[i]), y[i]); /* the way of the last few elements of an array, too */
    mem_free(x);
    mem_free(y);
    file_map_close(&m);
}

static double f16_value(uint16_t x)
{
    const int exponent = x >> 10 & 31, fraction = x & 1023;
    const double magnitude = exponent == 31 ? INFINITY
                             : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                            : ldexp(fraction, -24);
    return x >> 15 ? -magnitude : magnitude;
}

static void test_every_f16(void **state)
{
    (void)state;
    enum { ALL = 1 << 16 };
    uint16_t *x = mem_array(ALL, sizeof *x), *back = mem_array(ALL, sizeof *back);
    float *y = mem_array(ALL, sizeof *y);
    for (int i = 0; i < ALL; i++)
        x[i] = (uint16_t)i;
    convert_f16_to_f32(y, x, ALL);
    convert_f32_to_f16(back, y, ALL);
    for (int i = 0; i < ALL; i++) {
        const bool nan = (i & 0x7FFF) > 0x7C00;
        const float one = f16_to_f32(x[i]);
        assert_true(nan ? isnan(y[i]) && isnan(one) : (double)y[i] == f16_value(x[i]) && one == y[i]);
        assert_true((signbit(y[i]) != 0) == (i >> 15 != 0));
        assert_true(nan ? isnan(f16_to_f32(back[i])) : back[i] == x[i]);
    }
    mem_free(x);
    mem_free(back);
    mem_free(y);
}

static void test_nan(void **state)
{
    (void)state;
    for (uint32_t payload = 1; payload < 0x800000; payload += payload < 64 ? 1 : 9973)
        for (uint32_t sign = 0; sign <= 1; sign++) {
            const uint32_t bits = sign << 31 | 0x7F800000 | payload;
            float x;
            memcpy(&x, &bits, sizeof x);
            assert_true(isnan(bf16_to_f32(f32_to_bf16(x))) && isnan(f16_to_f32(f32_to_f16(x))));
        }
}

static void test_bf16_is_upper_half(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 1 << 16; i++) {
        const float y = bf16_to_f32((uint16_t)i);
        uint32_t bits;
        memcpy(&bits, &y, sizeof bits);
        assert_true(bits == i << 16);
        assert_true(f32_to_bf16(y) == ((i & 0x7FFF) > 0x7F80 ? (i | 0x40) : i)); /* a NaN becomes quiet */
    }
}

static void test_plain_types(void **state)
{
    (void)state;
    enum { N = 37 };
    float *x = random_floats(5, N, 3), y[N];
    uint16_t half[N];
    dequantize(y, x, DTYPE_F32, N);
    assert_same("f32", y, x, N, sizeof *y);
    convert_f32_to_bf16(half, x, N);
    dequantize(y, half, DTYPE_BF16, N);
    for (int i = 0; i < N; i++)
        assert_true(y[i] == bf16_to_f32(half[i]));
    convert_f32_to_f16(half, x, N);
    dequantize(y, half, DTYPE_F16, N);
    for (int i = 0; i < N; i++)
        assert_true(y[i] == f16_to_f32(half[i]));
    mem_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_casts),
        cmocka_unit_test(test_every_f16),
        cmocka_unit_test(test_nan),
        cmocka_unit_test(test_bf16_is_upper_half),
        cmocka_unit_test(test_plain_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
