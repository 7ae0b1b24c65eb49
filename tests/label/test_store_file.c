/* A file of the label store: what was appended is read back, open and sealed; a cut at any byte loses no record that
 * was whole before it; no flipped bit and no cut of a sealed file goes unseen. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "fmt/safetensors.h"
#include "label/store_file.h"
#include "made.h"

enum { RECORDS = 7 };

struct fixture {
    char directory[32];
    void *record[RECORDS];
    size_t size[RECORDS];
    uint64_t end[RECORDS]; /* of each record in the file, without padding */
};

static char *path_of(const struct fixture *f, const char *name)
{
    return file_join(f->directory, name);
}

static void append_all(struct fixture *f, struct store_writer *w)
{
    struct err e = {0};
    for (int i = 0; i < RECORDS; i++) {
        f->end[i] = (1 << 16) + store_writer_bytes(w) + f->size[i];
        assert_done(store_writer_append(w, f->record[i], f->size[i], &e), &e);
    }
    assert_done(store_writer_sync(w, &e), &e);
}

static int setup(void **state)
{
    static struct fixture f;
    struct err e = {0};
    strcpy(f.directory, "store-file-XXXXXX");
    assert_non_null(mkdtemp(f.directory));
    for (int i = 0; i < RECORDS; i++) {
        static struct made m;
        const struct label_spec spec = made_spec(i % MADE_FORMATS);
        made_fill(&m, &spec, (uint64_t)i);
        f.record[i] = made_record(&m, &f.size[i]);
    }
    struct store_writer *w;
    assert_done(store_writer_new(&w, f.directory, "open", "node1, process 7", &e), &e);
    append_all(&f, w);
    store_writer_free(w);
    assert_done(store_writer_new(&w, f.directory, "sealed", "node1, process 7", &e), &e);
    append_all(&f, w);
    assert_done(store_writer_seal(w, &e), &e);
    store_writer_free(w);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct err e = {0};
    for (int i = 0; i < RECORDS; i++)
        mem_free(f->record[i]);
    assert_done(file_remove_tree(f->directory, &e), &e);
    return 0;
}

static void expect_records(const struct fixture *f, const struct store_file *s, int count)
{
    assert_int_equal(store_file_count(s), count);
    for (int i = 0; i < count; i++) {
        const struct store_entry entry = store_file_entry(s, i);
        assert_true(entry.seq_id == MADE_SEQ_ID && entry.size == f->size[i]);
        assert_memory_equal(store_file_record(s, i), f->record[i], f->size[i]);
    }
}

static void read_back(void **state)
{
    const struct fixture *f = *state;
    static const char *const names[] = {"open.open", "sealed.safetensors"};
    for (int i = 0; i < 2; i++) {
        struct err e = {0};
        struct store_file *s;
        char *path = path_of(f, names[i]);
        assert_done(store_file_open(&s, path, &e), &e);
        assert_int_equal(store_file_sealed(s), i);
        assert_string_equal(store_file_owner(s), "node1, process 7");
        assert_true(store_file_rest(s) == 0);
        expect_records(f, s, RECORDS);
        assert_done(store_file_verify(s, &e), &e);
        store_file_close(s);
        mem_free(path);
    }
}

static void is_safetensors(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    struct safetensors *s;
    char *path = path_of(f, "sealed.safetensors");
    assert_done(safetensors_open(&s, path, &e), &e);
    assert_string_equal(safetensors_metadata(s, "format"), "retort labels 1");
    const struct tensor *index = safetensors_find(s, "index");
    assert_non_null(index);
    assert_int_equal(index->shape[0], RECORDS);
    safetensors_close(s);
    mem_free(path);
}

static void is_whole(const struct fixture *f, const struct store_file *s, uint64_t size)
{
    int whole = 0;
    while (whole < RECORDS && f->end[whole] <= size)
        whole++;
    expect_records(f, s, whole);
    struct err e = {0};
    assert_done(store_file_verify(s, &e), &e);
}

/* A writer that was killed: every length that its file can have had. */
static void open_file_cut(void **state)
{
    const struct fixture *f = *state;
    struct file_map map;
    struct err e = {0};
    char *path = path_of(f, "open.open");
    assert_done(file_map_open(&map, path, &e), &e);
    for (size_t size = 0; size <= map.size; size += size < (1 << 16) ? 4096 : 1) {
        struct store_file *s;
        assert_done(store_file_parse(&s, map.data, size, false, "cut", &e), &e);
        is_whole(f, s, size);
        store_file_close(s);
    }
    file_map_close(&map);
    mem_free(path);
}

/* What a disk did to an open file costs the record that it hit, and no other. */
static void open_file_damaged(void **state)
{
    const struct fixture *f = *state;
    struct file_map map;
    struct err e = {0};
    char *path = path_of(f, "open.open");
    assert_done(file_map_open(&map, path, &e), &e);
    unsigned char *bytes = mem_alloc(map.size);
    memcpy(bytes, map.data, map.size);
    for (uint64_t at = 1 << 16; at < map.size; at += 5) {
        struct store_file *s;
        bytes[at] ^= (unsigned char)(1 << at % 8);
        assert_done(store_file_parse(&s, bytes, map.size, false, "damaged", &e), &e);
        int next = 0; /* the record that holds the byte, or follows the padding that does */
        while (next < RECORDS && f->end[next] <= at)
            next++;
        const bool hit = next < RECORDS && at >= f->end[next] - f->size[next];
        assert_int_equal(store_file_count(s), RECORDS - hit);
        assert_true(store_file_rest(s) == (hit ? (f->size[next] + 7) / 8 * 8 : 0));
        store_file_close(s);
        bytes[at] ^= (unsigned char)(1 << at % 8);
    }
    mem_free(bytes);
    file_map_close(&map);
    mem_free(path);
}

/* Opened, or at the latest verified, a sealed file with this content is refused. */
static void expect_damage(const void *bytes, size_t size, uint64_t where)
{
    struct err e = {0};
    struct store_file *s;
    if (!store_file_parse(&s, bytes, size, true, "damaged", &e)) {
        if (!store_file_verify(s, &e))
            fail_msg("damage at %llu of %zu bytes is not seen", (unsigned long long)where, size);
        store_file_close(s);
    }
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.text, "damaged"));
}

static void sealed_file_damaged(void **state)
{
    enum { FLIPS = 10000, CUTS = 1000 };
    const struct fixture *f = *state;
    struct file_map map;
    struct err e = {0};
    char *path = path_of(f, "sealed.safetensors");
    assert_done(file_map_open(&map, path, &e), &e);
    unsigned char *bytes = mem_alloc(map.size);
    memcpy(bytes, map.data, map.size);
    for (uint64_t i = 0; i < FLIPS; i++) {
        const struct rng_block draw = rng_philox(5, i, 0);
        /* every other one in the records, the index and the hash: most of a small file is the header's padding */
        const uint64_t first = i % 2 ? 1 << 16 : 0, at = first + draw.v[0] % (map.size - first);
        bytes[at] ^= (unsigned char)(1 << draw.v[1] % 8);
        expect_damage(bytes, map.size, at);
        bytes[at] = map.data[at];
    }
    for (uint64_t i = 0; i < CUTS; i++)
        expect_damage(bytes, (size_t)(map.size * i / CUTS), map.size * i / CUTS);
    mem_free(bytes);
    file_map_close(&map);
    mem_free(path);
}

static void names_are_taken_once(void **state)
{
    const struct fixture *f = *state;
    static const char *const names[] = {"open", "sealed"};
    for (int i = 0; i < 2; i++) {
        struct err e = {0};
        struct store_writer *w;
        assert_int_equal(store_writer_new(&w, f->directory, names[i], "x", &e), -1);
        assert_int_equal(e.code, ERR_ENVIRONMENT);
        assert_non_null(strstr(e.text, names[i]));
    }
}

static void nothing_to_seal(void **state)
{
    const struct fixture *f = *state;
    struct err e = {0};
    struct store_writer *w;
    assert_done(store_writer_new(&w, f->directory, "empty", "x", &e), &e);
    assert_done(store_writer_seal(w, &e), &e);
    store_writer_free(w);
    char *open = path_of(f, "empty.open"), *sealed = path_of(f, "empty.safetensors");
    assert_false(file_exists(open) || file_exists(sealed));
    mem_free(open);
    mem_free(sealed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_back),           cmocka_unit_test(is_safetensors),
        cmocka_unit_test(open_file_cut),       cmocka_unit_test(open_file_damaged),
        cmocka_unit_test(sealed_file_damaged), cmocka_unit_test(names_are_taken_once),
        cmocka_unit_test(nothing_to_seal),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
