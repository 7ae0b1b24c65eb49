/* No flipped bit, no cut and no record of another store passes a verification. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/mem.h"
#include "label/record.h"
#include "label/store_internal.h"
#include "made.h"
#include "stores_fixture.h"

#ifndef SHARE
#define SHARE 1
#endif

static void whole_stores(void **state)
{
    (void)state;
    for (int format = 0; format < MADE_FORMATS; format++) {
        struct err e = {0};
        remove_directory(NULL);
        create(format);
        if (stores_fill(directory, format, 0, ALL, MOST, true, &e) < 0)
            fail_msg("%s", e.text);
        assert_done(open_and_verify(true, &e), &e);
    }
}

struct target {
    char *path;
    int fd;
    off_t size;
};

/* The files of the store that must not change: store.json and what is sealed. */
static int open_targets(struct target targets[16])
{
    struct err e = {0};
    struct store_names names;
    int n = 0;
    assert_done(store_names_read(&names, directory, STORE_LABELS, &e), &e);
    for (int i = 0; i <= names.count; i++) {
        struct stat st;
        struct target *t = &targets[n++];
        t->path = file_join(directory, i < names.count ? names.names[i] : STORE_JSON);
        t->fd = open(t->path, O_RDWR);
        assert_true(t->fd >= 0 && fstat(t->fd, &st) == 0);
        t->size = st.st_size;
    }
    store_names_release(&names);
    return n;
}

static void close_targets(struct target *targets, int n)
{
    for (int i = 0; i < n; i++) {
        close(targets[i].fd);
        mem_free(targets[i].path);
    }
}

static void expect_fault(const struct target *t, off_t at, const char *what)
{
    struct err e = {0};
    if (!open_and_verify(false, &e))
        fail_msg("%s: %s at %lld of %lld bytes is not seen", t->path, what, (long long)at, (long long)t->size);
    if (e.code != ERR_INPUT || !strstr(e.text, t->path))
        fail_msg("%s: %s at %lld: said \"%s\"", t->path, what, (long long)at, e.text);
}

/* Most of a small file is the padding of its header: every other flip is behind it. */
static void every_flip_is_seen(void **state)
{
    enum { FLIPS = 10000 / SHARE };
    (void)state;
    struct target targets[16];
    fill(0, 14, MOST, true);
    const int n = open_targets(targets);
    assert_in_range(n, 3, 16);
    for (uint64_t i = 0; i < FLIPS; i++) {
        const struct rng_block draw = rng_philox(6, i, 0);
        const struct target *t = &targets[draw.v[0] % (uint32_t)n];
        const off_t first = i % 2 && t->size > 1 << 16 ? 1 << 16 : 0, at = first + draw.v[1] % (t->size - first);
        unsigned char byte, flipped;
        assert_int_equal(pread(t->fd, &byte, 1, at), 1);
        flipped = (unsigned char)(byte ^ 1 << draw.v[2] % 8);
        assert_int_equal(pwrite(t->fd, &flipped, 1, at), 1);
        expect_fault(t, at, "a flipped bit");
        assert_int_equal(pwrite(t->fd, &byte, 1, at), 1);
    }
    close_targets(targets, n);
    expect_store(14, n - 1);
}

static void cut_and_mend(const struct target *t, off_t size)
{
    char *saved = mem_alloc((size_t)t->size);
    assert_int_equal(pread(t->fd, saved, (size_t)t->size, 0), t->size);
    assert_int_equal(ftruncate(t->fd, size), 0);
    expect_fault(t, size, "a cut");
    assert_int_equal(pwrite(t->fd, saved, (size_t)t->size, 0), t->size);
    mem_free(saved);
}

static void every_cut_is_seen(void **state)
{
    enum { CUTS = 1000 / SHARE };
    (void)state;
    struct target targets[16];
    fill(0, 14, MOST, true);
    const int n = open_targets(targets);
    for (uint64_t i = 0; i < CUTS; i++) {
        const struct rng_block draw = rng_philox(7, i, 0);
        const struct target *t = &targets[draw.v[0] % (uint32_t)n];
        cut_and_mend(t, draw.v[1] % t->size);
    }
    close_targets(targets, n);
    expect_store(14, n - 1);
}

static void expect_foreign(const void *record, size_t size, const char *what)
{
    struct err e = {0};
    struct store_append *a;
    assert_done(store_append_new(&a, directory, 5, 0, "x", MOST, &e), &e);
    assert_done(store_append(a, record, size, &e), &e);
    assert_done(store_append_seal(a, &e), &e);
    store_append_free(a);
    assert_int_equal(open_and_verify(false, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    if (!strstr(e.text, what) || !strstr(e.text, "labels-000005"))
        fail_msg("said \"%s\"", e.text);
    char *path = mem_printf("%s/labels-000005-0000-0000.safetensors", directory);
    assert_int_equal(unlink(path), 0);
    mem_free(path);
}

/* Whole records, in a whole file, that do not belong here. */
static void foreign_records(void **state)
{
    (void)state;
    static struct made m;
    size_t size;
    struct label_spec spec = made_spec(FORMAT + 1);
    made_fill(&m, &spec, 1);
    void *record = made_record_of(&m, 1, 1, &size);
    expect_foreign(record, size, "encoding");
    mem_free(record);
    spec = made_spec(FORMAT);
    made_fill(&m, &spec, 1);
    const uint64_t absent[] = {STORES_TRAIN, UINT64_C(1) << 56 | STORES_VALIDATION, UINT64_C(2) << 56};
    for (int i = 0; i < 3; i++) {
        record = made_record_of(&m, absent[i], 1, &size);
        expect_foreign(record, size, "corpus");
        mem_free(record);
    }
}

/* A record that was made of logits that were not finite is whole, and cannot be decoded. */
static void only_deep(void **state)
{
    (void)state;
    static struct made m;
    const struct label_spec spec = made_spec(FORMAT);
    made_fill(&m, &spec, 1);
    m.labels = 1;
    m.entries[0].entropy = -1;
    size_t size;
    void *record = made_record_of(&m, 1, 1, &size);
    struct err e = {0};
    struct store_append *a;
    assert_done(store_append_new(&a, directory, 1, 0, "x", MOST, &e), &e);
    assert_done(store_append(a, record, size, &e) || store_append_seal(a, &e), &e);
    store_append_free(a);
    mem_free(record);
    assert_done(open_and_verify(false, &e), &e);
    assert_int_equal(open_and_verify(true, &e), -1);
    assert_non_null(strstr(e.text, "labels-000001"));
    assert_non_null(strstr(e.text, "entropy"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_STORE(whole_stores),    IN_STORE(every_flip_is_seen), IN_STORE(every_cut_is_seen),
        IN_STORE(foreign_records), IN_STORE(only_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
