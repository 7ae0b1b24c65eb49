/* Buckets against a serial sum in rank order: any bounds, empty buckets, any order of start, many rounds; run with the
 * communication thread and without it. */
#include "mpi_test.h"

#include "base/mem.h"
#include "base/rng.h"
#include "par/bucket.h"

static float contribution(int round, int rank, int64_t i)
{
    const struct rng_block b = rng_philox((uint64_t)round, (uint64_t)i, (uint64_t)rank);
    const float u = (float)b.v[0] * 0x1p-31f - 1;
    return i % 5 == 0 ? (rank % 2 ? -1e20f : 1e20f) * u : i % 5 == 1 ? -0.0f : u;
}

static float serial_sum(int round, int64_t i)
{
    volatile float s = contribution(round, 0, i);
    for (int r = 1; r < world.size; r++)
        s = s + contribution(round, r, i);
    return s;
}

static void assert_sums(const float *x, int round, int64_t first, int64_t end)
{
    for (int64_t i = first; i < end; i++) {
        const float expect = serial_sum(round, i);
        if (memcmp(&expect, &x[i], sizeof expect) != 0)
            fail_msg("round %d element %lld: %a, in rank order %a", round, (long long)i, (double)x[i], (double)expect);
    }
}

/* One round: start the buckets from the last to the first as a backward does, or the other way; finish; gather. */
static void run_round(struct buckets *k, const int64_t *bounds, int count, int round)
{
    const int64_t n = bounds[count];
    float *x = mem_array((size_t)n, sizeof *x);
    for (int i = 0; i < count; i++) {
        const int b = round % 2 ? i : count - 1 - i;
        for (int64_t e = bounds[b]; e < bounds[b + 1]; e++)
            x[e] = contribution(round, world.rank, e);
        buckets_start(k, b, x);
    }
    assert_true(buckets_finish(k) >= 0);
    for (int b = 0; b < count; b++) {
        int64_t first, end;
        buckets_slice(k, b, world.rank, &first, &end);
        assert_sums(x, round, first, end);
        for (int64_t e = bounds[b]; e < bounds[b + 1]; e++)
            x[e] = e >= first && e < end ? x[e] : -1; /* the rest is undefined: gather must bring it */
    }
    buckets_gather(k, x);
    assert_sums(x, round, 0, n);
    mem_free(x);
}

static void run_rounds(const int64_t *bounds, int count, int rounds)
{
    struct buckets *k = buckets_new(&world, bounds, count);
    for (int round = 0; round < rounds; round++)
        run_round(k, bounds, count, round);
    buckets_free(k);
}

static void slices_cover_each_bucket(void **state)
{
    (void)state;
    const int64_t bounds[] = {0, 10, 10, 13, 1000};
    struct buckets *k = buckets_new(&world, bounds, 4);
    for (int b = 0; b < 4; b++) {
        int64_t at = bounds[b];
        for (int r = 0; r < world.size; r++) {
            int64_t first, end;
            buckets_slice(k, b, r, &first, &end);
            assert_int_equal(first, at);
            assert_true(end >= first);
            at = end;
        }
        assert_int_equal(at, bounds[b + 1]);
    }
    buckets_free(k);
}

static void bounds_do_not_matter(void **state)
{
    (void)state;
    run_rounds((const int64_t[]){0, 5000}, 1, 2);
    run_rounds((const int64_t[]){0, 1, 2, 2, 700, 4999, 5000}, 6, 3);
    run_rounds((const int64_t[]){0, 0, 5000, 5000}, 3, 2);
    run_rounds((const int64_t[]){0, 3}, 1, 2);
}

static void nothing_to_reduce(void **state)
{
    (void)state;
    run_rounds((const int64_t[]){0}, 0, 2);
    run_rounds((const int64_t[]){0, 0}, 1, 2);
}

static void many_rounds(void **state)
{
    (void)state;
    run_rounds((const int64_t[]){0, 100, 150, 333, 900}, 4, 100);
}

/* A slice of more pieces than there are landings. */
static void many_pieces(void **state)
{
    (void)state;
    enum { N = 1 << 18 };
    run_rounds((const int64_t[]){0, 7 * N + 5, 8 * N}, 2, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_cover_each_bucket),
        cmocka_unit_test(bounds_do_not_matter),
        cmocka_unit_test(nothing_to_reduce),
        cmocka_unit_test(many_rounds),
        cmocka_unit_test(many_pieces),
    };
    return mpi_test_run(argc, argv, tests, sizeof tests / sizeof *tests);
}
