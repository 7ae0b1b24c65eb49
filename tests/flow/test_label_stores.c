/* The commands that look after a label store, and inspect, on stores that store_maker (tests/label) has made. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "flow.h"

enum { SAMPLED_U8, RANDOM_F16 = 4, TOP_K_F32 = 8 };

/* A writer that adds sequences first .. end - 1 to a store; how: "sealed" or "open". */
static void make(const char *store, int format, int first, int end, const char *how)
{
    char *line = mem_printf("'%s' %s %d %d %d %s", STORE_MAKER, store, format, first, end, how);
    assert_int_equal(system(line), 0);
    mem_free(line);
}

static json_int_t integer(json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    if (!json_is_integer(value))
        fail_msg("%s is no integer", name);
    return json_integer_value(value);
}

static const char *text(json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    if (!json_is_string(value))
        fail_msg("%s is no text", name);
    return json_string_value(value);
}

static void change_byte(const char *path, off_t at)
{
    char byte;
    const int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void expect_said(const struct outcome *o, const char *const *texts)
{
    expect_outcome(o, 0, NULL);
    for (int i = 0; texts[i]; i++)
        if (!strstr(o->out, texts[i]))
            fail_msg("\"%s\" is not in:\n%s", texts[i], o->out);
}
#define expect_output(o, ...) expect_said(o, (const char *const[]){__VA_ARGS__, NULL})

static void list_store(void **state)
{
    (void)state;
    make("labels", SAMPLED_U8, 0, 20, "sealed");
    make("labels", SAMPLED_U8, 10, 42, "open");
    expect_output(retort(0, "store list labels"), "sampled labels, threshold 0.02, values u8, at temperature 1.5",
                  "models/teacher", "40 of 40 sequences, 0 missing", "2 of 8 sequences, 6 missing",
                  "42 records, 504 labels", "sealed", "open", "node1, process 7, job test");
    json_t *l = expect_json(retort(0, "store list labels --json"));
    expect_fields(l, "kind", "path", "description", "splits", "records", "labels", "bytes", "bytes_per_label", "files");
    assert_int_equal(integer(l, "records"), 42);
    assert_int_equal(integer(l, "labels"), 42 * 12);
    json_t *splits = json_object_get(l, "splits"), *validation = json_object_get(splits, "validation");
    assert_int_equal(integer(validation, "there"), 2);
    assert_int_equal(integer(validation, "missing"), 6);
    json_t *description = json_object_get(l, "description");
    assert_string_equal(text(description, "kind"), "sampled");
    assert_string_equal(text(description, "corpus"), "aaaabbbbccccdddd");
    json_t *files = json_object_get(l, "files");
    const size_t last = json_array_size(files) - 1;
    assert_int_equal(last, 1);
    expect_fields(json_array_get(files, 0), "name", "owner", "sealed", "records", "bytes", "rest", "seconds_unchanged");
    assert_true(json_is_true(json_object_get(json_array_get(files, 0), "sealed")));
    assert_true(json_is_false(json_object_get(json_array_get(files, last), "sealed")));
    json_t *inspected = expect_json(retort(0, "inspect labels --json"));
    assert_true(json_equal(json_object_get(inspected, "description"), description));
    json_decref(inspected);
    json_decref(l);
}

static void verify_store(void **state)
{
    (void)state;
    make("labels", TOP_K_F32, 0, 20, "sealed");
    make("labels", TOP_K_F32, 20, 25, "open");
    expect_output(retort(0, "store verify labels"), "25 records in", "all whole");
    expect_output(retort(0, "store verify --deep labels"), "decoded");
    assert_int_equal(truncate("labels/labels-000002-0000-0000.open", 70000), 0);
    expect_output(retort(0, "store verify labels"), "that are no whole record", "all whole");
    change_byte("labels/labels-000001-0000-0000.safetensors", 67000);
    expect_refused(retort(0, "store verify labels"), 3, "labels-000001-0000-0000.safetensors");
    change_byte("labels/labels-000001-0000-0000.safetensors", 67000);
    change_byte("labels/store.json", 100);
    expect_refused(retort(0, "store verify labels"), 3, "labels/store.json");
    expect_refused(retort(0, "store list labels"), 3, "labels/store.json");
    expect_refused(retort(0, "inspect labels/store.json"), 3, "labels/store.json");
}

static void compact_store(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        make("labels", SAMPLED_U8, 5 * i, 5 * i + 8, i % 2 ? "open" : "sealed");
    expect_output(retort(0, "store compact labels"), "nothing to merge", "left alone 5 files");
    expect_output(retort(0, "store compact labels --idle 0"), "merged 5 files into 1: 28 records, left out 12");
    expect_output(retort(0, "store verify labels --deep"), "28 records in 1 files");
    expect_output(retort(0, "store compact labels --idle 0"), "nothing to merge");
    expect_refused(retort(0, "store compact absent"), 3, "absent");
}

static void export_store(void **state)
{
    (void)state;
    make("labels", RANDOM_F16, 0, 20, "sealed");
    expect_output(retort(0, "store export labels --out all.safetensors"), "20 records");
    json_t *t = expect_json(retort(0, "inspect all.safetensors --json"));
    assert_string_equal(text(t, "kind"), "safetensors");
    assert_int_equal(json_array_size(json_object_get(t, "tensors")), 8);
    json_decref(t);
    expect_refused(retort(0, "store export labels --out all.safetensors"), 4, "all.safetensors", "there already");
    expect_refused(retort(0, "store export labels --out absent/all.safetensors"), 4, "absent/all.safetensors");
    expect_refused(retort(0, "store export labels"), 2, "--out");
}

/* What is listed is there, and a record is the same from wherever it is read. */
static void inspect_store(void **state)
{
    (void)state;
    make("labels", TOP_K_F32, 3, 6, "sealed");
    make("labels", TOP_K_F32, 40, 42, "open");
    json_t *sealed = expect_json(retort(0, "inspect labels/labels-000001-0000-0000.safetensors --json"));
    json_t *open = expect_json(retort(0, "inspect labels/labels-000002-0000-0000.open --json"));
    expect_fields(sealed, "kind", "path", "owner", "sealed", "rest", "record_count", "records");
    expect_fields(open, "kind", "path", "owner", "sealed", "rest", "record_count", "records");
    assert_int_equal(integer(sealed, "record_count"), 3);
    json_t *listed = json_array_get(json_object_get(sealed, "records"), 1);
    expect_fields(listed, "seq_id", "input_hash", "tokens", "label_count", "offset", "bytes");
    assert_int_equal(integer(listed, "seq_id"), 4);
    json_t *validation = json_array_get(json_object_get(open, "records"), 1);
    assert_true(integer(validation, "seq_id") == ((json_int_t)1 << 56) + 1);

    json_t *record = expect_json(retort(0, "inspect labels --record 4 --json"));
    json_t *again = expect_json(retort(0, "inspect labels/labels-000001-0000-0000.safetensors --record 4 --json"));
    expect_fields(record, "kind", "path", "labels", "values", "seq_id", "input_hash", "tokens", "label_count",
                  "temperature", "entries");
    json_t *entries = json_object_get(record, "entries");
    assert_int_equal(json_array_size(entries), 12);
    expect_fields(json_array_get(entries, 0), "ids", "p", "tail", "entropy");
    assert_true(json_equal(entries, json_object_get(again, "entries")));
    double sum = json_real_value(json_object_get(json_array_get(entries, 2), "tail"));
    size_t k;
    json_t *p;
    json_array_foreach(json_object_get(json_array_get(entries, 2), "p"), k, p) sum += json_number_value(p);
    assert_true(sum > 1 - 1e-4 && sum < 1 + 1e-4);
    expect_output(retort(0, "inspect labels --record 72057594037927937"), "label 11: entropy");
    expect_output(retort(0, "inspect labels/store.json"), "top_k labels, k 600, values f32");
    expect_refused(retort(0, "inspect labels --record 7"), 3, "labels", "7");
    expect_refused(retort(0, "inspect labels/labels-000002-0000-0000.open --record 4"), 3, "4");
    expect_refused(retort(0, "inspect teacher --record 4"), 2, "--record");
    expect_refused(retort(0, "inspect teacher/model.safetensors --record 4"), 2, "--record");
    json_decref(sealed);
    json_decref(open);
    json_decref(record);
    json_decref(again);
}

static void store_slips(void **state)
{
    (void)state;
    make("labels", SAMPLED_U8, 0, 2, "sealed");
    expect_refused(retort(0, "store verfy labels"), 2, "verfy", "did you mean verify?");
    expect_refused(retort(0, "store list"), 2, "STORE");
    expect_refused(retort(0, "store list labels --deep"), 2, "--deep", "store verify");
    expect_refused(retort(0, "store verify labels --idle 3"), 2, "--idle", "store compact");
    expect_refused(retort(0, "store list teacher"), 3, "teacher", "no label store");
    expect_refused(retort(0, "store list text.txt"), 3, "text.txt");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_store),   cmocka_unit_test(verify_store),  cmocka_unit_test(compact_store),
        cmocka_unit_test(export_store), cmocka_unit_test(inspect_store), cmocka_unit_test(store_slips),
    };
    return flow_main(argc, argv, "label_stores", tests, sizeof tests / sizeof *tests);
}
