/* The order of sequences: a permutation for every n, another one for every seed and epoch, the same for ever. */
#include "test.h"

#include <string.h>

#include "base/mem.h"
#include "data/order.h"

static void check_epoch(uint64_t seed, int64_t epoch, int64_t n)
{
    unsigned char *seen = mem_alloc((size_t)n);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = order_index(seed, epoch * n + i, n);
        assert_in_range(at, 0, n - 1);
        if (seen[at]++)
            fail_msg("n %lld: index %lld comes twice", (long long)n, (long long)at);
    }
    mem_free(seen);
}

static void every_epoch_is_a_permutation(void **state)
{
    (void)state;
    for (int64_t n = 1; n <= 300; n++)
        check_epoch(17, n % 3, n);
    check_epoch(0, 0, 65535);
    check_epoch(1, 5, 65536);
    check_epoch(UINT64_MAX, 1000000, 65537);
}

/* A permutation of 2^40 + 3 values is too large to list; but no two of its places may share a value. */
static void large_counts_stay_inside(void **state)
{
    (void)state;
    enum { PLACES = 1000 };
    const int64_t n = ((int64_t)1 << 40) + 3;
    int64_t at[PLACES];
    for (int i = 0; i < PLACES; i++) {
        at[i] = order_index(3, n - PLACES + i, n);
        assert_true(at[i] >= 0 && at[i] < n);
        for (int k = 0; k < i; k++)
            assert_true(at[k] != at[i]);
    }
}

static int places_alike(uint64_t seed_a, int64_t epoch_a, uint64_t seed_b, int64_t epoch_b, int64_t n)
{
    int same = 0;
    for (int64_t i = 0; i < n; i++)
        same += order_index(seed_a, epoch_a * n + i, n) == order_index(seed_b, epoch_b * n + i, n);
    return same;
}

static void seeds_and_epochs_differ(void **state)
{
    (void)state;
    /* two random permutations of 1000 agree in 1 place on average, in 10 with probability 1e-7 */
    assert_in_range(places_alike(17, 0, 17, 1, 1000), 0, 9);
    assert_in_range(places_alike(17, 0, 18, 0, 1000), 0, 9);
    assert_in_range(places_alike(17, 1, 18, 0, 1000), 0, 9);
    assert_int_equal(places_alike(17, 3, 17, 3, 1000), 1000);
}

/* Every value comes at every place about equally often, over many seeds; also for a count as small as 3. */
static void no_place_prefers_a_value(void **state)
{
    (void)state;
    int count[3][3] = {0};
    for (uint64_t seed = 0; seed < 9000; seed++)
        for (int i = 0; i < 3; i++)
            count[i][order_index(seed, i, 3)]++;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            assert_in_range(count[i][k], 2770, 3230); /* 3000, standard deviation 45 */
}

/* Of those that take part each comes once an epoch, as the permutation of so many sends it. */
static void some_take_part(void **state)
{
    (void)state;
    const int64_t indices[] = {2, 3, 5, 8, 13};
    const struct order all = {.seed = 4, .count = 5}, some = {.seed = 4, .count = 5, .indices = indices};
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        int64_t sum = 0;
        for (int64_t g = 5 * epoch; g < 5 * epoch + 5; g++) {
            assert_int_equal(order_at(&all, g), order_index(4, g, 5));
            assert_int_equal(order_at(&some, g), indices[order_at(&all, g)]);
            sum += order_at(&some, g);
        }
        assert_int_equal(sum, 2 + 3 + 5 + 8 + 13);
    }
}

/* Runs and stores depend on these: they may never change. From tools/reference/data_order.py. */
static void known_answers(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed;
        int64_t n, first_place;
        int64_t index[8];
    } golden[] = {
#include "data/golden_order.inc"
    };
    for (size_t k = 0; k < sizeof golden / sizeof golden[0]; k++)
        for (int i = 0; i < 8; i++)
            assert_int_equal(order_index(golden[k].seed, golden[k].first_place + i, golden[k].n), golden[k].index[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_epoch_is_a_permutation),
        cmocka_unit_test(large_counts_stay_inside),
        cmocka_unit_test(seeds_and_epochs_differ),
        cmocka_unit_test(no_place_prefers_a_value),
        cmocka_unit_test(some_take_part),
        cmocka_unit_test(known_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
