/* The ground: error texts, cursor bounds, arena, Philox against published vectors, hashes, file writing. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cursor.h"
#include "base/dtype.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/strbuf.h"

static void first_error_stays(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(err_set(&e, ERR_INPUT, "%s: cut", "a.bin"), -1);
    err_set(&e, ERR_USAGE, "later");
    assert_int_equal(e.code, ERR_INPUT);
    err_prefix(&e, "rank %d", 3);
    assert_string_equal(e.text, "rank 3: a.bin: cut");
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    struct err e = {0};
    char big[4000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    err_set(&e, ERR_INPUT, "%s", big);
    err_prefix(&e, "%s", big);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
}

static void cursor_refuses_to_wrap(void **state)
{
    (void)state;
    unsigned char bytes[12] = {1, 0, 0, 0, 2};
    struct cursor c;
    cursor_init(&c, bytes, sizeof bytes);
    assert_int_equal(cursor_u32(&c), 1);
    assert_null(cursor_bytes(&c, UINT64_MAX));
    assert_false(cursor_ok(&c));
    assert_int_equal(cursor_u32(&c), 0); /* the failure sticks */

    cursor_init(&c, bytes, sizeof bytes);
    assert_null(cursor_array(&c, UINT64_MAX / 2, 4));
    assert_false(cursor_ok(&c));

    cursor_init(&c, bytes, sizeof bytes);
    assert_non_null(cursor_array(&c, 3, 4));
    assert_int_equal(cursor_left(&c), 0);
    assert_true(cursor_ok(&c));
}

static void arena_aligns_and_zeroes(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    for (size_t n = 1; n < 1000000; n = n * 3 + 1) {
        unsigned char *p = arena_alloc(&a, n, 1);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, n);
    }
    assert_null(arena_try(&a, SIZE_MAX / 2, 4));
    assert_string_equal(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    arena_release(&a);
}

/* Known answers of the Random123 distribution (kat_vectors, philox4x32-10). */
static void philox_known_answers(void **state)
{
    (void)state;
    struct rng_block zero = rng_philox(0, 0, 0);
    const uint32_t expect_zero[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    assert_memory_equal(zero.v, expect_zero, sizeof expect_zero);
    struct rng_block ones = rng_philox(UINT64_MAX, UINT64_MAX, UINT64_MAX);
    const uint32_t expect_ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    assert_memory_equal(ones.v, expect_ones, sizeof expect_ones);
}

static void rng_below_is_in_range_and_even(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 17, 3);
    int count[7] = {0};
    for (int i = 0; i < 70000; i++)
        count[rng_below(&r, 7)]++;
    for (int i = 0; i < 7; i++)
        assert_in_range(count[i], 9600, 10400); /* 10000, standard deviation 93 */
    double sum = 0, squares = 0;
    for (int i = 0; i < 100000; i++) {
        double x = rng_normal(&r);
        sum += x;
        squares += x * x;
    }
    assert_true(sum / 1e5 < 0.02 && sum / 1e5 > -0.02);
    assert_true(squares / 1e5 < 1.03 && squares / 1e5 > 0.97);
}

static void hashes_in_pieces(void **state)
{
    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283u);
    assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xE3069283u);
    struct hash64 *h = hash64_new();
    hash64_add(h, "abc", 3);
    hash64_add(h, "", 0);
    hash64_add(h, "def", 3);
    assert_true(hash64_value(h) == hash64("abcdef", 6));
    hash64_free(h);
}

static void dtype_sizes(void **state)
{
    (void)state;
    uint64_t bytes = 0;
    assert_true(dtype_bytes(DTYPE_Q4_K, 512, &bytes));
    assert_int_equal(bytes, 288);
    assert_false(dtype_bytes(DTYPE_Q8_0, 33, &bytes));
    assert_false(dtype_bytes(DTYPE_F64, INT64_MAX, &bytes));
    assert_false(dtype_bytes(DTYPE_F32, -1, &bytes));
}

static void files_are_written_whole(void **state)
{
    (void)state;
    struct err e = {0};
    char directory[] = "/tmp/retort-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    char *deep = file_join(directory, "a/b");
    assert_done(file_make_directories(deep, &e), &e);
    char *path = file_join(deep, "f");
    assert_done(file_write(path, "hello", 5, &e), &e);
    struct file_map m;
    assert_done(file_map_open(&m, path, &e), &e);
    assert_int_equal(m.size, 5);
    assert_memory_equal(m.data, "hello", 5);
    file_map_close(&m);
    assert_int_equal(file_map_open(&m, deep, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    err_clear(&e);
    char *blocked = file_join(path, "under-a-file");
    assert_int_equal(file_write(blocked, "x", 1, &e), -1);
    assert_int_equal(e.code, ERR_ENVIRONMENT);
    err_clear(&e);
    assert_done(file_remove_tree(directory, &e), &e);
    assert_false(file_exists(directory));
    mem_free(blocked);
    mem_free(path);
    mem_free(deep);
}

static void path_arithmetic(void **state)
{
    (void)state;
    const char *cases[][2] = {{"a/b/c.txt", "a/b"}, {"c.txt", "."}, {"/c", "/"}};
    for (size_t i = 0; i < 3; i++) {
        char *parent = file_parent(cases[i][0]);
        assert_string_equal(parent, cases[i][1]);
        mem_free(parent);
    }
    char *joined = file_join("a/", "b");
    assert_string_equal(joined, "a/b");
    mem_free(joined);
    joined = file_join("a", "/b");
    assert_string_equal(joined, "/b");
    mem_free(joined);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_error_stays),       cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(cursor_refuses_to_wrap),  cmocka_unit_test(arena_aligns_and_zeroes),
        cmocka_unit_test(philox_known_answers),    cmocka_unit_test(rng_below_is_in_range_and_even),
        cmocka_unit_test(hashes_in_pieces),        cmocka_unit_test(dtype_sizes),
        cmocka_unit_test(files_are_written_whole), cmocka_unit_test(path_arithmetic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
