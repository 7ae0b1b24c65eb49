/* Small tokenizers of every kind against what the `tokenizers` library made of the same texts (tools/reference/
 * tokenizer_golden.py). */
#include "test.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "fmt/tokenizer.h"

static const char *const names[] = {"added",
                                    "deepseek",
                                    "digits-single",
                                    "gpt2",
                                    "gpt2-prefix",
                                    "ignore-merges",
                                    "llama",
                                    "llama-added",
                                    "nfc",
                                    "unknown",
                                    "metaspace-first-True",
                                    "metaspace-always-False",
                                    "unknown-none",
                                    "unknown-fused",
                                    "split-removed-False",
                                    "split-contiguous-False",
                                    "split-merged_with_next-True",
                                    "split-merged_with_previous-False"};
enum { NAMES = sizeof names / sizeof *names };

/* One tokenizer and its golden texts. */
struct golden {
    const char *name;
    struct tokenizer *t;
    json_t *cases;
};

static void open_golden(struct golden *g, const char *name)
{
    char path[512];
    struct err e = {0};
    struct file_map map;
    json_error_t fault;
    g->name = name;
    snprintf(path, sizeof path, TEST_TOKENIZERS "/%s.json", name);
    assert_done(file_map_open(&map, path, &e), &e);
    assert_done(tokenizer_from_json(&g->t, (const char *)map.data, map.size, path, &e), &e);
    file_map_close(&map);
    snprintf(path, sizeof path, TEST_TOKENIZERS "/%s.golden.json", name);
    g->cases = json_load_file(path, JSON_ALLOW_NUL, &fault);
    assert_non_null(g->cases);
    assert_true(json_array_size(g->cases) > 10);
}

static void close_golden(struct golden *g)
{
    tokenizer_close(g->t);
    json_decref(g->cases);
}

/* The bytes of a hexadecimal text, in an allocation of their exact size. */
static char *bytes_of(const json_t *hex, size_t *size)
{
    const char *text = json_string_value(hex);
    *size = strlen(text) / 2;
    char *bytes = mem_alloc(*size);
    for (size_t i = 0; i < *size; i++) {
        unsigned byte;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
        bytes[i] = (char)byte;
    }
    return bytes;
}

static void check_ids(const struct golden *g, size_t n, const json_t *expected, const struct token_list *ids)
{
    for (size_t i = 0; i < ids->count && i < json_array_size(expected); i++)
        if (json_integer_value(json_array_get(expected, i)) != ids->ids[i])
            fail_msg("%s, text %zu: id %zu is %u, not %lld", g->name, n, i, ids->ids[i],
                     json_integer_value(json_array_get(expected, i)));
    if (ids->count != json_array_size(expected))
        fail_msg("%s, text %zu: %zu ids, not %zu", g->name, n, ids->count, json_array_size(expected));
}

static void check_decoded(const struct golden *g, size_t n, const json_t *expected, const struct token_list *ids,
                          bool skip_special)
{
    struct strbuf text;
    strbuf_init(&text);
    tokenizer_decode(g->t, ids->ids, ids->count, skip_special, &text);
    if (text.size != json_string_length(expected) || memcmp(text.data, json_string_value(expected), text.size))
        fail_msg("%s, text %zu: decodes as \"%s\", not \"%s\"", g->name, n, text.data, json_string_value(expected));
    strbuf_release(&text);
}

static void check_all(const struct golden *g)
{
    for (size_t n = 0; n < json_array_size(g->cases); n++) {
        const json_t *c = json_array_get(g->cases, n);
        struct token_list ids = {0};
        size_t size;
        char *text = bytes_of(json_object_get(c, "text"), &size);
        tokenizer_encode(g->t, text, size, &ids, NULL);
        check_ids(g, n, json_object_get(c, "ids"), &ids);
        check_decoded(g, n, json_object_get(c, "decoded"), &ids, false);
        check_decoded(g, n, json_object_get(c, "decoded_plain"), &ids, true);
        token_list_release(&ids);
        mem_free(text);
    }
}

static void every_text_gets_the_ids_and_text_of_tokenizers(void **state)
{
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        struct golden g;
        open_golden(&g, names[i]);
        check_all(&g);
        check_all(&g); /* now from what it remembers */
        close_golden(&g);
    }
}

static void *check_in_thread(void *golden)
{
    for (int i = 0; i < 20; i++)
        check_all(golden);
    return NULL;
}

static void threads_may_share_a_tokenizer(void **state)
{
    (void)state;
    struct golden g;
    pthread_t threads[4];
    open_golden(&g, "llama-added");
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, check_in_thread, &g), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    close_golden(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_text_gets_the_ids_and_text_of_tokenizers),
        cmocka_unit_test(threads_may_share_a_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
