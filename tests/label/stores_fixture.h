/* What the tests of the store begin with: a directory of their own for each test, and a store in it. Included once, by
 * the test program. */
#ifndef RETORT_TESTS_LABEL_STORES_FIXTURE_H
#define RETORT_TESTS_LABEL_STORES_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/file.h"
#include "stores.h"

enum { ALL = STORES_TRAIN + STORES_VALIDATION, MOST = 8000, HUGE = 1 << 30, FORMAT = 0 };
static char directory[16];

static inline int make_directory(void **state)
{
    (void)state;
    strcpy(directory, "store-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static inline int remove_directory(void **state)
{
    (void)state;
    struct err e = {0};
    assert_done(file_remove_tree(directory, &e), &e);
    return 0;
}

static inline void create(int format)
{
    struct err e = {0};
    const struct store_description d = stores_description(format);
    assert_done(store_create(directory, &d, &e), &e);
}

static inline int make_store(void **state)
{
    if (make_directory(state))
        return -1;
    create(FORMAT);
    return 0;
}

static inline struct store *open_store(void)
{
    struct err e = {0};
    struct store *s = NULL;
    assert_done(store_open(&s, directory, &e), &e);
    return s;
}

static inline int open_and_verify(bool deep, struct err *e)
{
    struct store *s;
    if (store_open(&s, directory, e))
        return -1;
    const int rc = store_verify(s, deep, e);
    store_close(s);
    return rc;
}

static inline void fill(int first, int end, uint64_t most, bool seal)
{
    struct err e = {0};
    if (stores_fill(directory, FORMAT, first, end, most, seal, &e) < 0)
        fail_msg("%s", e.text);
}

/* So many sequences are there, all that are there are as they were written, in so many files (negative: any number). */
static inline void expect_store(int sequences, int files)
{
    struct err e = {0};
    struct store *s = open_store();
    assert_done(store_verify(s, true, &e), &e);
    assert_int_equal(stores_whole(s, FORMAT), sequences);
    assert_int_equal(store_count(s), sequences);
    if (files >= 0)
        assert_int_equal(store_parts(s), files);
    store_close(s);
}

#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)
#define IN_STORE(test) cmocka_unit_test_setup_teardown(test, make_store, remove_directory)

#endif
