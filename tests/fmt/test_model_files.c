/* Models on disk: a directory with one file of weights or many, a GGUF, and everything that may be wrong between them.
 */
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "files.h"
#include "fmt/gguf.h"
#include "fmt/model_files.h"
#include "model_maker.h"

/* Each test gets its own directory, which is gone afterwards. */
static int make_directory(void **state)
{
    char path[] = "/tmp/retort-test-XXXXXX";
    *state = mkdtemp(path) ? mem_strdup(path) : NULL;
    return *state ? 0 : -1;
}

static int remove_directory(void **state)
{
    struct err e = {0};
    int rc = file_remove_tree(*state, &e);
    mem_free(*state);
    return rc;
}

static void make_model(const char *directory, const char *family)
{
    struct model_config c;
    struct err e = {0};
    model_maker_config(&c, family);
    assert_done(model_maker_write(directory, &c, 1, DTYPE_F32, &e), &e);
}

static void put_file(const char *directory, const char *name, const void *bytes, size_t size)
{
    struct err e = {0};
    char *path = file_join(directory, name);
    assert_done(file_write(path, bytes, size, &e), &e);
    mem_free(path);
}

static void remove_file(const char *directory, const char *name)
{
    char *path = file_join(directory, name);
    assert_int_equal(remove(path), 0);
    mem_free(path);
}

static void refused(const char *path, const char *expected)
{
    struct err e = {0};
    struct model_files *m = NULL;
    int rc = model_files_open(&m, path, &e);
    if (rc != -1 || !strstr(e.text, expected) || !strstr(e.text, path))
        fail_msg("rc %d, \"%s\", expected \"%s\"", rc, e.text, expected);
    assert_int_equal(e.code, ERR_INPUT);
    assert_null(m);
}

static void a_directory_opens(void **state)
{
    struct err e = {0};
    struct model_files *m = NULL;
    make_model(*state, "qwen3");
    assert_done(model_files_open(&m, *state, &e), &e);
    assert_string_equal(model_files_path(m), *state);
    assert_string_equal(model_files_config(m)->family->model_type, "qwen3");
    assert_true(!model_files_is_gguf(m) && !model_files_gguf(m));
    assert_int_equal(model_files_count(m), 2 * 11 + 3);
    const struct tensor *t = NULL;
    const int64_t shape[] = {64, 96}, turned[] = {96, 64};
    static const char down[] = "model.layers.1.mlp.down_proj.weight";
    assert_done(model_files_require(m, down, 2, shape, &t, &e), &e);
    assert_string_equal(t->name, down);
    assert_ptr_equal(model_files_find(m, down), t);
    assert_string_equal(file_name(model_files_of(m, t)), "model.safetensors");

    assert_int_equal(model_files_require(m, down, 2, turned, &t, &e), -1);
    assert_non_null(strstr(e.text,
                           "model.safetensors: tensor model.layers.1.mlp.down_proj.weight has shape [64, 96]; the "
                           "config asks for [96, 64]"));
    err_clear(&e);
    assert_int_equal(model_files_require(m, down, 1, shape, &t, &e), -1);
    assert_non_null(strstr(e.text, "the config asks for [64]"));
    err_clear(&e);
    assert_int_equal(model_files_require(m, "absent", 2, shape, &t, &e), -1);
    assert_non_null(strstr(e.text, "tensor absent is missing; its shape should be [64, 96]"));
    model_files_close(m);
}

/* The maker itself: the same bytes for a seed, other bytes for another, values as they were asked for. */
static void made_models_are_random_and_repeatable(void **state)
{
    struct err e = {0};
    struct model_config c;
    struct model_files *m[3] = {0};
    const enum dtype types[3] = {DTYPE_F32, DTYPE_F32, DTYPE_BF16};
    const uint64_t seeds[3] = {5, 6, 5};
    model_maker_config(&c, "llama");
    for (int i = 0; i < 3; i++) {
        char *path = mem_printf("%s/%d", (char *)*state, i);
        assert_done(model_maker_write(path, &c, seeds[i], types[i], &e), &e);
        assert_done(model_files_open(&m[i], path, &e), &e);
        mem_free(path);
    }
    const struct tensor *t[3];
    for (int i = 0; i < 3; i++)
        t[i] = model_files_find(m[i], "model.layers.0.mlp.up_proj.weight");
    assert_memory_not_equal(t[0]->data, t[1]->data, 64);
    double squares = 0;
    for (int64_t i = 0; i < t[0]->elements; i++) {
        float x, y;
        uint32_t bits = 0;
        memcpy(&x, t[0]->data + 4 * i, 4);
        memcpy((char *)&bits + 2, t[2]->data + 2 * i, 2);
        memcpy(&y, &bits, 4);
        assert_true(fabsf(x - y) <= fabsf(x) / 256); /* bf16 keeps 8 bits */
        squares += (double)x * (double)x;
    }
    double variance = squares / (double)t[0]->elements * 64; /* 6144 values: deviation 0.018 */
    assert_true(variance > 0.93 && variance < 1.07);
    for (int i = 0; i < 3; i++)
        model_files_close(m[i]);
}

static void a_spoilt_model_holds_one_nan(void **state)
{
    struct err e = {0};
    struct model_files *m = NULL;
    make_model(*state, "llama");
    assert_done(model_maker_spoil(*state, "model.norm.weight", &e), &e);
    assert_done(model_files_open(&m, *state, &e), &e);
    const struct tensor *t = model_files_find(m, "model.norm.weight");
    int bad = 0;
    for (int64_t i = 0; i < t->elements; i++) {
        float x;
        memcpy(&x, t->data + 4 * i, 4);
        bad += isnan(x) != 0;
    }
    assert_int_equal(bad, 1);
    model_files_close(m);
}

static void what_is_no_model_is_refused(void **state)
{
    refused(*state, "there is no config.json");
    refused("/nowhere/at/all", "No such file");
    char *path = file_join(*state, "text");
    put_file(*state, "text", "hello, world", 12);
    refused(path, "not a GGUF file");
    mem_free(path);
}

static void weights_that_are_not_there_are_named(void **state)
{
    make_model(*state, "llama");
    remove_file(*state, "model.safetensors");
    refused(*state, "there is no model.safetensors and no model.safetensors.index.json");
    put_file(*state, "pytorch_model.bin", "PK", 2);
    refused(*state, "only .safetensors is read");

    /* the config alone is enough for check and tokenize */
    struct err e = {0};
    struct model_files *m = NULL;
    assert_done(model_files_open_config(&m, *state, &e), &e);
    assert_int_equal(model_files_config(m)->vocab_size, 320);
    assert_int_equal(model_files_count(m), 0);
    assert_null(model_files_find(m, "model.norm.weight"));
    model_files_close(m);
}

/* A file of one tensor of 4 bytes. */
static void put_shard(const char *directory, const char *name, const char *tensor)
{
    const int64_t shape[] = {1};
    struct strbuf file;
    strbuf_init(&file);
    struct safetensors_plan *p = safetensors_plan_new();
    safetensors_plan_add(p, tensor, DTYPE_F32, 1, shape);
    safetensors_plan_finish(p, &file);
    strbuf_add(&file, "\0\0\x80\x3f", 4);
    put_file(directory, name, file.data, file.size);
    safetensors_plan_free(p);
    strbuf_release(&file);
}

static void put_index(const char *directory, const char *text)
{
    put_file(directory, "model.safetensors.index.json", text, strlen(text));
}

static void shards_open(void **state)
{
    struct err e = {0};
    struct model_files *m = NULL;
    make_model(*state, "llama");
    remove_file(*state, "model.safetensors");
    put_shard(*state, "m-1.safetensors", "b");
    put_shard(*state, "m-2.safetensors", "a");
    put_index(*state, "{\"metadata\": {\"total_size\": 8}, \"weight_map\": {\"b\": \"m-1.safetensors\", \"a\": "
                      "\"m-2.safetensors\"}}");
    assert_done(model_files_open(&m, *state, &e), &e);
    assert_int_equal(model_files_count(m), 2);
    assert_string_equal(file_name(model_files_of(m, model_files_find(m, "a"))), "m-2.safetensors");
    assert_string_equal(file_name(model_files_of(m, model_files_find(m, "b"))), "m-1.safetensors");
    assert_string_equal(model_files_at(m, 0)->name, "a");
    model_files_close(m);
}

static void bad_indexes_are_refused(void **state)
{
    static const char *const cases[][2] = {
        {"{\"weight_map\": {\"a\": \"m-2.safetensors\"}}", "m-2.safetensors: missing, but "},
        {"{\"weight_map\": {\"b\": \"m-1.safetensors\", \"c\": \"m-1.safetensors\"}}",
         "m-1.safetensors: tensor c is missing, but "},
        {"{\"weight_map\": {\"b\": \"../m-1.safetensors\"}}", "expected plain file names"},
        {"{\"weight_map\": {\"b\": \"/etc/passwd\"}}", "expected plain file names"},
        {"{\"weight_map\": {\"b\": \"\"}}", "expected plain file names"},
        {"{\"weight_map\": {\"b\": 1}}", "expected \"tensor\": \"file\""},
        {"{\"weight_map\": {}}", "weight_map: expected an object"},
        {"{\"weight_map\": []}", "weight_map: expected an object"},
        {"{}", "weight_map: expected an object"},
        {"{\"weight_map\": {\"b\": \"m-1.safetensors\", \"b\": \"m-1.safetensors\"}}", "duplicate"},
        {"not json", "index.json:1:"},
        {"{\"weight_map\": {\"b\": \"config.json\"}}", "config.json: not a safetensors file"},
    };
    make_model(*state, "llama");
    remove_file(*state, "model.safetensors");
    put_shard(*state, "m-1.safetensors", "b");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_index(*state, cases[i][0]);
        refused(*state, cases[i][1]);
    }
}

static void a_cut_file_is_refused(void **state)
{
    struct err e = {0};
    struct file_map map = {0};
    make_model(*state, "llama");
    char *path = file_join(*state, "model.safetensors");
    assert_done(file_map_open(&map, path, &e), &e);
    char *copy = exact_copy(map.data, map.size);
    size_t size = map.size;
    file_map_close(&map);
    put_file(*state, "model.safetensors", copy, size / 2);
    refused(*state, "model.safetensors: tensor ");
    refused(*state, "cut off?");
    mem_free(copy);
    mem_free(path);
}

static void a_gguf_opens(void **state)
{
    (void)state;
    struct err e = {0};
    struct model_files *m = NULL;
    char *path = test_file("pass_llama3.gguf");
    assert_done(model_files_open(&m, path, &e), &e);
    assert_true(model_files_is_gguf(m) && model_files_gguf(m) && gguf_has(model_files_gguf(m), "llama.block_count"));
    assert_int_equal(model_files_count(m), 3);
    const struct tensor *t = NULL;
    const int64_t shape[] = {20, 64}; /* row-major, though the file lists 64 first */
    assert_done(model_files_require(m, "token_embd.weight", 2, shape, &t, &e), &e);
    assert_string_equal(model_files_of(m, t), path);
    model_files_close(m);
    mem_free(path);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        TEST(a_directory_opens),
        TEST(made_models_are_random_and_repeatable),
        TEST(a_spoilt_model_holds_one_nan),
        TEST(what_is_no_model_is_refused),
        TEST(weights_that_are_not_there_are_named),
        TEST(shards_open),
        TEST(bad_indexes_are_refused),
        TEST(a_cut_file_is_refused),
        TEST(a_gguf_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
