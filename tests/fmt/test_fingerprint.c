/* The fingerprint of a model: the same wherever it lies, another one for another model, a cut file, another name,
 * another config; and what it promises not to see. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "fmt/fingerprint.h"
#include "model_maker.h"
#include "test.h"

static void make_model(const char *directory, uint64_t seed)
{
    struct err e = {0};
    struct model_config c;
    model_maker_config(&c, "llama");
    assert_done(file_remove_tree(directory, &e), &e);
    assert_done(model_maker_write(directory, &c, seed, DTYPE_F32, &e), &e);
}

static uint64_t of(const char *path)
{
    struct err e = {0};
    uint64_t value = 0;
    assert_done(fingerprint(path, &value, &e), &e);
    assert_true(value != 0);
    return value;
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    struct err e = {0};
    assert_done(file_write(path, bytes, size, &e), &e);
}

static void same_model(void **state)
{
    (void)state;
    make_model("fingerprint.one", 1);
    make_model("fingerprint.two", 1);
    assert_true(of("fingerprint.one") == of("fingerprint.two"));
    assert_true(of("fingerprint.one/") == of("fingerprint.two"));
    write_file("fingerprint.two/README.md", "words", 5);
    assert_true(of("fingerprint.one") == of("fingerprint.two"));
}

static void other_model(void **state)
{
    (void)state;
    make_model("fingerprint.one", 1);
    const uint64_t one = of("fingerprint.one");
    make_model("fingerprint.two", 2);
    assert_true(of("fingerprint.two") != one);
    make_model("fingerprint.two", 1);
    write_file("fingerprint.two/config.json", "{}", 2);
    assert_true(of("fingerprint.two") != one);
    make_model("fingerprint.two", 1);
    assert_int_equal(rename("fingerprint.two/model.safetensors", "fingerprint.two/model-1.safetensors"), 0);
    assert_true(of("fingerprint.two") != one);
    make_model("fingerprint.two", 1);
    write_file("fingerprint.two/more.safetensors", "x", 1);
    assert_true(of("fingerprint.two") != one);
}

/* A file of a megabyte: its ends and its head count, and a change between two samples is not seen. */
static void samples(void **state)
{
    (void)state;
    const size_t size = 1 << 20;
    unsigned char *bytes = mem_alloc(size);
    write_file("fingerprint.gguf", bytes, size);
    const uint64_t zeros = of("fingerprint.gguf");
    const size_t seen[] = {0, 65535, size - 1, size - 4096}, unseen = (64 << 10) + 1;
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        bytes[seen[i]] = 1;
        write_file("fingerprint.gguf", bytes, size);
        if (of("fingerprint.gguf") == zeros)
            fail_msg("byte %zu makes no difference", seen[i]);
        bytes[seen[i]] = 0;
    }
    bytes[unseen] = 1; /* between the head and the second sample */
    write_file("fingerprint.gguf", bytes, size);
    assert_true(of("fingerprint.gguf") == zeros);
    write_file("fingerprint.gguf", bytes, size - 1);
    assert_true(of("fingerprint.gguf") != zeros);
    mem_free(bytes);
    unlink("fingerprint.gguf");
}

static void nothing_there(void **state)
{
    (void)state;
    struct err e = {0};
    uint64_t value = 7;
    assert_int_equal(fingerprint("fingerprint.nowhere", &value, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    err_clear(&e);
    assert_done(file_remove_tree("fingerprint.two", &e), &e);
    assert_done(file_make_directories("fingerprint.two", &e), &e);
    assert_int_equal(fingerprint("fingerprint.two", &value, &e), -1);
    assert_non_null(strstr(e.text, "fingerprint.two"));
    assert_int_equal(value, 7);
    err_clear(&e);
    file_remove_tree("fingerprint.one", &e);
    file_remove_tree("fingerprint.two", &e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_model),
        cmocka_unit_test(other_model),
        cmocka_unit_test(samples),
        cmocka_unit_test(nothing_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
