/* Sums over ranks, bit for bit against a serial sum in rank order that this file writes down itself. Contributions come
 * from a function of (rank, index), so every rank can compute what all ranks gave. */
#include "mpi_test.h"

#include <math.h>
#include <sched.h>

#include "base/mem.h"
#include "base/rng.h"
#include "par/window.h"

/* Values whose sum depends on the order: large ones that cancel, denormals, both zeros. */
static float contribution(int rank, int64_t i)
{
    const struct rng_block b = rng_philox(7, (uint64_t)i, (uint64_t)rank);
    const float u = (float)b.v[0] * 0x1p-31f - 1;
    switch (b.v[2] % 7) {
    case 0:
        return rank % 2 ? -u * 1e30f : u * 1e30f;
    case 1:
        return u * 1e-40f;
    case 2:
        return -0.0f;
    case 3:
        return rank == 1 ? 0.0f : -0.0f;
    case 4:
        return (rank % 2 ? -1.0f : 1.0f) * (float)(i + 1) + 1e-6f * u;
    default:
        return ldexpf(u, (int)(b.v[1] % 40) - 20);
    }
}

static float serial_sum(int64_t i)
{
    volatile float s = contribution(0, i);
    for (int r = 1; r < world.size; r++)
        s = s + contribution(r, i);
    return s;
}

static void fill(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = contribution(world.rank, i);
}

static void assert_serial(const float *x, int64_t first, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float expect = serial_sum(first + i);
        if (memcmp(&expect, &x[i], sizeof expect) != 0)
            fail_msg("element %lld of %lld: %a, in rank order %a", (long long)i, (long long)n, (double)x[i],
                     (double)expect);
    }
}

static void sums_are_in_rank_order(void **state)
{
    (void)state;
    /* both ways of sum.c, lengths that do not divide, and more ranks than elements */
    const int64_t lengths[] = {0, 1, 2, 3, 5, 17, 1000, 1023, 1024, 1025, 4099, 8192, 50021, 65536, 65537, 100000};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        float *x = mem_array((size_t)lengths[k], sizeof *x);
        fill(x, lengths[k]);
        sum_f32(&world, x, lengths[k]);
        assert_serial(x, 0, lengths[k]);
        mem_free(x);
    }
}

static void split_does_not_matter(void **state)
{
    (void)state;
    enum { N = 60000 };
    float *x = mem_array(N, sizeof *x);
    fill(x, N);
    const int64_t cuts[] = {0, 1, 777, 30001, N};
    for (int k = 0; k < 4; k++)
        sum_f32(&world, x + cuts[k], cuts[k + 1] - cuts[k]);
    assert_serial(x, 0, N);
    mem_free(x);
}

/* Longer than one piece of sum.c (64 Ki floats in a window, 4 Mi by messages), checked at its seams and by samples. */
static void long_vectors(void **state)
{
    (void)state;
    const int64_t n = (5 << 20) + 3;
    float *x = mem_array((size_t)n, sizeof *x);
    fill(x, n);
    sum_f32(&world, x, n);
    for (int64_t at = 0; at < n; at += 9973)
        assert_serial(x + at, at, n - at < 3 ? n - at : 3);
    for (int64_t seam = 64 << 10; seam + 5 <= n; seam += 64 << 10)
        assert_serial(x + seam - 5, seam - 5, 10);
    assert_serial(x + n - 50, n - 50, 50);
    mem_free(x);
}

static void doubles(void **state)
{
    (void)state;
    const int64_t lengths[] = {1, 999, 40001};
    for (int k = 0; k < 3; k++) {
        double *x = mem_array((size_t)lengths[k], sizeof *x);
        for (int64_t i = 0; i < lengths[k]; i++)
            x[i] = (double)contribution(world.rank, i) / 3;
        sum_f64(&world, x, lengths[k]);
        for (int64_t i = 0; i < lengths[k]; i++) {
            double expect = (double)contribution(0, i) / 3;
            for (int r = 1; r < world.size; r++)
                expect += (double)contribution(r, i) / 3;
            assert_memory_equal(&x[i], &expect, sizeof expect);
        }
        mem_free(x);
    }
}

static void maximum(void **state)
{
    (void)state;
    enum { N = 30011 };
    float *x = mem_array(N, sizeof *x);
    fill(x, N);
    x[5] = world.rank == 0 ? NAN : 1;
    x[6] = world.rank == world.size - 1 ? NAN : 1;
    x[7] = world.rank == 0 ? -INFINITY : -1e30f;
    max_f32(&world, x, N);
    assert_true(isnan(x[5]) && isnan(x[6]));
    assert_true(x[7] == (world.size == 1 ? -INFINITY : -1e30f));
    for (int64_t i = 8; i < N; i++) {
        float expect = contribution(0, i);
        for (int r = 1; r < world.size; r++)
            expect = fmaxf(expect, contribution(r, i));
        assert_true(x[i] == expect);
    }
    mem_free(x);
}

static void scan(void **state)
{
    (void)state;
    enum { N = 10007 };
    double *x = mem_array(N, sizeof *x), *before = mem_array(N, sizeof *x), *total = mem_array(N, sizeof *x);
    for (int64_t i = 0; i < N; i++)
        x[i] = (double)contribution(world.rank, i) / 3;
    scan_f64(&world, before, total, x, N);
    for (int64_t i = 0; i < N; i++) {
        double sum = (double)contribution(0, i) / 3, mine = 0;
        for (int r = 1; r < world.size; r++) {
            mine = r == world.rank ? sum : mine;
            sum += (double)contribution(r, i) / 3;
        }
        assert_true(before[i] == mine);
        assert_memory_equal(&total[i], &sum, sizeof sum);
    }
    mem_free(x);
    mem_free(before);
    mem_free(total);
}

/* Rank r gives r * 1000 + (r == 1 ? 3,000,000 : 0) bytes; rank 0 gives none. */
static size_t gift(int rank)
{
    return (size_t)rank * 1000 + (rank == 1 ? 3000000 : 0);
}

static void gather_takes_any_size(void **state)
{
    (void)state;
    void *all = NULL; /* grows at the first root's turn, and serves the second gathering as it is */
    size_t room = 0;
    for (int turn = 0; turn < 2 * world.size; turn++) {
        const int root = turn / 2;
        unsigned char *mine = mem_alloc(gift(world.rank));
        for (size_t i = 0; i < gift(world.rank); i++)
            mine[i] = (unsigned char)(i * 31 + (size_t)world.rank);
        size_t offsets[16] = {0};
        const void *before = all;
        gather_bytes(&world, mine, gift(world.rank), &all, &room, offsets, root);
        if (turn % 2 || world.rank != root)
            assert_ptr_equal(all, before);
        size_t at = 0;
        for (int r = 0; world.rank == root && r < world.size; r++) {
            assert_int_equal(offsets[r], at);
            for (size_t i = 0; i < gift(r); i++)
                assert_int_equal(((unsigned char *)all)[at + i], (unsigned char)(i * 31 + (size_t)r));
            at += gift(r);
        }
        if (world.rank == root)
            assert_int_equal(offsets[world.size], at);
        mem_free(mine);
    }
    mem_free(all);
}

/* Sub-communicators: the order is that of the communicator's ranks, not of the world's. */
static void order_is_the_communicators(void **state)
{
    (void)state;
    struct comm reversed;
    comm_split(&reversed, &world, 0, -world.rank);
    assert_int_equal(reversed.rank, world.size - 1 - world.rank);
    float x[3];
    for (int i = 0; i < 3; i++)
        x[i] = contribution(reversed.rank, 4 + i);
    sum_f32(&reversed, x, 3);
    assert_serial(x, 4, 3);
    comm_free(&reversed);
}

static bool by_messages;

/* Ranks of one host would never send messages otherwise. */
static void choose_the_transport(void **state)
{
    (void)state;
    if (by_messages)
        window_refuse(&world);
    assert_int_equal(window_of(&world) != NULL, world.size > 1 && !by_messages);
}

/* A communicator that goes takes its window along, and the next one gets a new one. */
static void communicators_come_and_go(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct comm c;
        comm_split(&c, &world, world.rank % 2, world.rank);
        if (by_messages)
            window_refuse(&c);
        float one = 1;
        sum_f32(&c, &one, 1);
        assert_true(one == (float)c.size);
        sum_start(&c, i % 2, &one, 1);
        sum_finish(&c, i % 2);
        assert_true(one == (float)(c.size * c.size));
        comm_free(&c);
    }
}

/* Many sums in a row, small and large in turn: a rank that runs ahead must not overwrite what another still reads. */
static void many_in_a_row(void **state)
{
    (void)state;
    enum { N = 20000, ROUNDS = 300 };
    float *x = mem_array(N, sizeof *x);
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t n = round % 3 ? 1 + round : N;
        for (int64_t i = 0; i < n; i++)
            x[i] = (float)((world.rank + 1) * (round + 1) + i % 64);
        if ((round + world.rank) % 5 == 0)
            sched_yield();
        sum_f32(&world, x, n);
        for (int64_t i = 0; i < n; i++)
            assert_true(x[i] == (float)(world.size * (world.size + 1) / 2 * (round + 1) + world.size * (int)(i % 64)));
    }
    mem_free(x);
}

/* Two at once, waited for in either order, beside sums that are not started: they may overtake each other. */
static void started_sums(void **state)
{
    (void)state;
    enum { ROUNDS = 60, MOST = 100000 };
    const int64_t lengths[] = {1, MOST, 0, 3, 1025, 50021, 2};
    enum { LENGTHS = sizeof lengths / sizeof *lengths };
    float *x[SUM_SLOTS], one[2];
    for (int slot = 0; slot < SUM_SLOTS; slot++)
        x[slot] = mem_array(MOST, sizeof **x);
    assert_int_equal(sum_goes_on(&world), world.size > 1 && by_messages);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t n[SUM_SLOTS];
        for (int slot = 0; slot < SUM_SLOTS; slot++) {
            n[slot] = lengths[(round + 3 * slot) % LENGTHS];
            fill(x[slot], n[slot]);
            sum_start(&world, slot, x[slot], n[slot]);
            if ((round + world.rank) % 5 == 0)
                sched_yield();
        }
        fill(one, 2);
        sum_f32(&world, one, 2);
        assert_serial(one, 0, 2);
        for (int i = 0; i < SUM_SLOTS; i++) {
            const int slot = (round + world.rank) % 2 ? i : SUM_SLOTS - 1 - i;
            sum_finish(&world, slot);
            assert_serial(x[slot], 0, n[slot] < 2000 ? n[slot] : 2000);
            if (n[slot] > 2000)
                assert_serial(x[slot] + n[slot] - 2000, n[slot] - 2000, 2000);
        }
    }
    for (int slot = 0; slot < SUM_SLOTS; slot++)
        mem_free(x[slot]);
}

/* test_sum [messages | poll]: poll is messages without the communication thread */
int main(int argc, char **argv)
{
    by_messages = argc > 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choose_the_transport),
        cmocka_unit_test(communicators_come_and_go),
        cmocka_unit_test(started_sums),
        cmocka_unit_test(many_in_a_row),
        cmocka_unit_test(sums_are_in_rank_order),
        cmocka_unit_test(split_does_not_matter),
        cmocka_unit_test(long_vectors),
        cmocka_unit_test(doubles),
        cmocka_unit_test(maximum),
        cmocka_unit_test(scan),
        cmocka_unit_test(gather_takes_any_size),
        cmocka_unit_test(order_is_the_communicators),
    };
    return mpi_test_run(argc, argv, tests, sizeof tests / sizeof *tests);
}
