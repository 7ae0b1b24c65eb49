/* Which instruction set is used: the environment's cap, an unknown name, and that kernels really change with it. */
#include "test.h"

#include <stdlib.h>

#include "kern/isa.h"
#include "kern/op_linear.h"

static void test_cap(void **state)
{
    (void)state;
    char *given = getenv("RETORT_ISA");
    const enum isa under_given = isa_best();
    unsetenv("RETORT_ISA");
    const enum isa cpu = isa_best();
    assert_true(under_given <= cpu);
    for (enum isa isa = ISA_PLAIN; isa < ISA_COUNT; isa++) {
        setenv("RETORT_ISA", isa_name(isa), 1);
        assert_int_equal(isa_best(), isa < cpu ? isa : cpu);
    }
    setenv("RETORT_ISA", "sse9", 1);
    assert_int_equal(isa_best(), cpu);
    setenv("RETORT_ISA", "", 1);
    assert_int_equal(isa_best(), cpu);
    if (given)
        setenv("RETORT_ISA", given, 1);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(isa_name(ISA_PLAIN), "plain");
    assert_string_equal(isa_name(ISA_AVX2), "avx2");
    assert_string_equal(isa_name(ISA_AVX512), "avx512");
    assert_string_equal(isa_name(ISA_AVX512_BF16), "avx512_bf16");
}

/* y + a x with one rounding or two: the difference shows which code ran. */
static float fused(void)
{
    float y = -1, x = 1 + 0x1p-12f;
    vector_axpy(&y, x, &x, 1);
    return y;
}

static void test_use(void **state)
{
    (void)state;
    unsetenv("RETORT_ISA");
    for (enum isa isa = ISA_PLAIN; isa <= isa_best(); isa++) {
        isa_use(isa);
        assert_int_equal(isa_used(), isa);
        assert_true(fused() == (isa == ISA_PLAIN ? 0x1p-11f : 0x1p-11f + 0x1p-24f));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cap), cmocka_unit_test(test_names),
                                       cmocka_unit_test(test_use)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
