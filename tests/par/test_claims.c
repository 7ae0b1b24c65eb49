/* Claims: every number goes out once and to one rank, whoever asks how often and for how much; ranges shrink towards
 * the end; a stop in the middle ends it for all; the coordinator answers while its main thread does something else. */
#include "mpi_test.h"

#include "base/clock.h"
#include "base/integer.h"
#include "base/mem.h"
#include "base/rng.h"
#include "par/claims.h"

/* taken[i]: how often this rank got number i. Claims until nothing is left, or until it has asked `patience` times,
 * and gives the answers' sum back. */
static int64_t take_all(struct claims *c, unsigned char *taken, int64_t total, int patience)
{
    struct rng r;
    rng_init(&r, 7, (uint64_t)world.rank);
    int64_t done = 0, sum = 0;
    for (; patience; patience--) {
        const int64_t wanted = 1 + (int64_t)rng_below(&r, 40);
        int64_t first, count;
        claims_next(c, wanted, done, &first, &count);
        assert_true(count >= 0 && count <= wanted);
        if (!count)
            return sum;
        assert_true(first >= 0 && first + count <= total);
        for (int64_t i = first; i < first + count; i++)
            taken[i]++;
        done = count;
        sum += count;
        if (rng_below(&r, 4) == 0)
            clock_sleep(1e-4 * (double)rng_below(&r, 10));
    }
    return sum;
}

/* How often each number went out, over all ranks, into times[]. */
static void count_taken(const unsigned char *taken, int64_t total, double *times)
{
    for (int64_t i = 0; i < total; i++)
        times[i] = taken[i];
    sum_f64(&world, times, total);
}

/* Ranks from `first_taker` on ask. */
static void share_out(int64_t total, int first_taker)
{
    unsigned char *taken = mem_array((size_t)total + 1, 1);
    double *times = mem_array((size_t)total + 1, sizeof *times);
    struct claims *c = claims_new(&world, total, world.size - first_taker);
    if (world.rank >= first_taker)
        take_all(c, taken, total, -1);
    claims_free(c);
    count_taken(taken, total, times);
    for (int64_t i = 0; i < total; i++)
        assert_true(times[i] == 1);
    mem_free(taken);
    mem_free(times);
}

static void every_number_once(void **state)
{
    (void)state;
    for (int64_t total = 0; total < 8; total++)
        share_out(total, 0);
    share_out(1000, 0);
    share_out(5000, 0);
}

/* The coordinator takes nothing and only waits in claims_free. */
static void a_coordinator_that_does_not_take(void **state)
{
    (void)state;
    if (world.size == 1)
        return;
    share_out(3, 1);
    share_out(1000, 1);
}

/* What is told adds up, the last word included. */
static void done_adds_up(void **state)
{
    (void)state;
    const int64_t total = 500;
    unsigned char *taken = mem_array((size_t)total, 1);
    struct claims *c = claims_new(&world, total, world.size);
    take_all(c, taken, total, -1);
    comm_barrier(&world);
    if (world.rank == 0)
        assert_int_equal(claims_done(c), total);
    claims_free(c);
    mem_free(taken);
}

/* Asking for everything gives half of a fair share of what is left, down to single numbers. */
static void ranges_shrink(void **state)
{
    (void)state;
    const int takers = 3;
    const int64_t total = 600;
    struct claims *c = claims_new(&world, total, takers);
    if (world.rank == world.size - 1) {
        int64_t at = 0, first, count;
        do {
            claims_next(c, total, 0, &first, &count);
            assert_int_equal(first, at);
            assert_int_equal(count, at < total ? max_i64(1, (total - at) / (2 * takers)) : 0);
            at += count;
        } while (count);
        assert_int_equal(at, total);
        claims_next(c, 1, 0, &first, &count); /* and it stays so */
        assert_int_equal(count, 0);
    }
    claims_free(c);
}

/* One rank stops after some of its own: nobody gets a number twice, nobody waits, and not all numbers went out. */
static void stop_in_the_middle(void **state)
{
    (void)state;
    const int64_t total = 1000000;
    for (int stopper = 0; stopper < world.size; stopper++) {
        unsigned char *taken = mem_array((size_t)total, 1);
        double *times = mem_array((size_t)total, sizeof *times);
        struct claims *c = claims_new(&world, total, world.size);
        if (world.rank == stopper) {
            int64_t got = take_all(c, taken, total, 5), first, count;
            claims_stop(c);
            claims_stop(c);
            claims_next(c, 10, 0, &first, &count);
            assert_int_equal(count, 0);
            assert_true(got > 0);
        } else {
            take_all(c, taken, total, -1);
        }
        claims_free(c);
        count_taken(taken, total, times);
        int64_t out = 0;
        for (int64_t i = 0; i < total; i++) {
            assert_true(times[i] <= 1);
            out += times[i] > 0;
        }
        assert_in_range(out, 1, total - 1);
        mem_free(taken);
        mem_free(times);
    }
}

/* The main thread of the coordinator is away: its communication thread answers. */
static void the_thread_answers(void **state)
{
    (void)state;
    if (!threaded || world.size == 1)
        return;
    struct claims *c = claims_new(&world, 40, world.size - 1);
    unsigned char taken[40] = {0};
    comm_barrier(&world);
    if (world.rank)
        take_all(c, taken, 40, -1);
    else
        for (int rounds = 0; claims_done(c) < 40; rounds++) {
            assert_true(rounds < 20000);
            clock_sleep(1e-3);
        }
    claims_free(c);
    claims_free(NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_once),  cmocka_unit_test(a_coordinator_that_does_not_take),
        cmocka_unit_test(done_adds_up),       cmocka_unit_test(ranges_shrink),
        cmocka_unit_test(stop_in_the_middle), cmocka_unit_test(the_thread_answers),
    };
    return mpi_test_run(argc, argv, tests, sizeof tests / sizeof *tests);
}
