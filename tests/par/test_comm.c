/* Communicators, small collectives, agreement. */
#include "mpi_test.h"

#include <limits.h>

#include "base/mem.h"
#include "par/agree.h"

static void minimum_maximum(void **state)
{
    (void)state;
    assert_int_equal(comm_min(&world, 10 - world.rank), 10 - (world.size - 1));
    assert_int_equal(comm_max(&world, 10L * world.rank), 10L * (world.size - 1));
    assert_true(comm_max(&world, LONG_MIN + world.rank) == LONG_MIN + world.size - 1);
}

static void split_by_parity(void **state)
{
    (void)state;
    struct comm c;
    comm_split(&c, &world, world.rank % 2, world.rank);
    assert_int_equal(c.rank, world.rank / 2);
    assert_int_equal(c.size, (world.size + 1 - world.rank % 2) / 2);
    comm_free(&c);
    comm_split(&c, &world, world.rank == 0 ? 3 : -1, 0);
    assert_int_equal(c.size, world.rank == 0);
    comm_free(&c);
    comm_free(&c); /* a zeroed one */
    comm_split_host(&c, &world);
    assert_int_equal(c.size, world.size);
    assert_int_equal(c.rank, world.rank);
    comm_free(&c);
}

static void broadcast_from_any_root(void **state)
{
    (void)state;
    for (int root = 0; root < world.size; root++)
        for (size_t size = 0; size < 3000000; size = size * 50 + 1) {
            unsigned char *bytes = NULL;
            size_t got = 0;
            if (world.rank == root) {
                got = size;
                bytes = mem_alloc(size);
                for (size_t i = 0; i < size; i++)
                    bytes[i] = (unsigned char)(i * 7 + (size_t)root);
            }
            comm_broadcast_buffer(&world, (void **)&bytes, &got, root);
            assert_int_equal(got, size);
            for (size_t i = 0; i < size; i++)
                if (bytes[i] != (unsigned char)(i * 7 + (size_t)root))
                    fail_msg("byte %zu of %zu from %d", i, size, root);
            mem_free(bytes);
        }
}

static void agree_when_all_is_well(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(agree(&world, &e), 0);
    assert_int_equal(e.code, ERR_NONE);
}

/* Two of the ranks fail; the lowest one's text reaches all. */
static void agree_on_the_lowest(void **state)
{
    (void)state;
    struct err e = {0};
    const int low = world.size > 2 ? 1 : 0;
    if (world.rank == low)
        err_set(&e, ERR_INPUT, "a.bin: cut");
    else if (world.rank == world.size - 1)
        err_set(&e, ERR_ENVIRONMENT, "disk full");
    assert_int_equal(agree(&world, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_string_equal(e.text, world.size == 1 ? "a.bin: cut" : low ? "rank 1: a.bin: cut" : "rank 0: a.bin: cut");
}

static void agree_on_what_all_have(void **state)
{
    (void)state;
    struct err e = {0};
    err_set(&e, ERR_USAGE, "job.yaml:3:1: unknown key");
    assert_int_equal(agree(&world, &e), -1);
    assert_int_equal(e.code, ERR_USAGE);
    assert_string_equal(e.text, "job.yaml:3:1: unknown key");
}

/* The same text under another code, or another text under the same code, is not the same error. */
static void agree_tells_errors_apart(void **state)
{
    (void)state;
    if (world.size == 1)
        return;
    struct err e = {0};
    err_set(&e, world.rank ? ERR_INPUT : ERR_USAGE, "x");
    assert_int_equal(agree(&world, &e), -1);
    assert_string_equal(e.text, "rank 0: x");
    err_clear(&e);
    err_set(&e, ERR_INPUT, "file %d", world.rank);
    assert_int_equal(agree(&world, &e), -1);
    assert_string_equal(e.text, "rank 0: file 0");
    err_clear(&e);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minimum_maximum),          cmocka_unit_test(split_by_parity),
        cmocka_unit_test(broadcast_from_any_root),  cmocka_unit_test(agree_when_all_is_well),
        cmocka_unit_test(agree_on_the_lowest),      cmocka_unit_test(agree_on_what_all_have),
        cmocka_unit_test(agree_tells_errors_apart),
    };
    return mpi_test_run(argc, argv, tests, sizeof tests / sizeof *tests);
}
