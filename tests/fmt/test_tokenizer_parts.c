/* The parts of the tokenizer against what Python, Oniguruma and the normaliser of `tokenizers` made of the same inputs
 * (tools/reference/tokenizer_parts_golden.py), and the patterns that must be refused. */
#include "test.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "fmt/tokenizer_pattern.h"
#include "fmt/unicode.h"

static json_t *golden;

static int load_golden(void **state)
{
    (void)state;
    golden = json_load_file(TEST_TOKENIZERS "/parts.golden.json", JSON_ALLOW_NUL, NULL);
    return golden ? 0 : -1;
}

static int free_golden(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

static const char *text_at(const json_t *list, size_t i)
{
    return json_string_value(json_array_get(list, i));
}

static size_t size_at(const json_t *list, size_t i)
{
    return json_string_length(json_array_get(list, i));
}

static void ill_formed_bytes_become_what_python_makes_of_them(void **state)
{
    (void)state;
    const json_t *cases = json_object_get(golden, "repair");
    assert_true(json_array_size(cases) > 300);
    for (size_t n = 0; n < json_array_size(cases); n++) {
        const json_t *c = json_array_get(cases, n);
        const char *hex = text_at(c, 0);
        size_t size = strlen(hex) / 2;
        char *bytes = mem_alloc(size); /* of its exact size, so that a sanitizer sees a read beyond it */
        for (size_t i = 0; i < size; i++)
            sscanf(hex + 2 * i, "%2hhx", (unsigned char *)&bytes[i]);
        struct strbuf out;
        strbuf_init(&out);
        assert_int_equal(utf8_append_repaired(&out, bytes, size), json_integer_value(json_array_get(c, 2)));
        assert_int_equal(out.size, size_at(c, 1));
        assert_memory_equal(out.data, text_at(c, 1), out.size);
        assert_int_equal(utf8_valid_prefix(out.data, out.size), out.size);
        strbuf_release(&out);
        mem_free(bytes);
    }
}

static void composition_is_that_of_tokenizers(void **state)
{
    (void)state;
    const json_t *cases = json_object_get(golden, "nfc");
    assert_true(json_array_size(cases) > 300);
    for (size_t n = 0; n < json_array_size(cases); n++) {
        const json_t *c = json_array_get(cases, n);
        struct strbuf out;
        strbuf_init(&out);
        unicode_append_nfc(&out, text_at(c, 0), size_at(c, 0));
        if (out.size != size_at(c, 1) || memcmp(out.data, text_at(c, 1), out.size))
            fail_msg("\"%s\" became \"%s\", not \"%s\"", text_at(c, 0), out.data, text_at(c, 1));
        strbuf_release(&out);
    }
}

static void check_matches(const json_t *c)
{
    struct err e = {0};
    struct pattern *p = NULL;
    assert_done(pattern_compile(&p, text_at(c, 0), "golden", &e), &e);
    struct pattern_memory *m = pattern_memory_new();
    struct pattern_walk w;
    const json_t *expected = json_array_get(c, 2);
    size_t n = 0;
    pattern_walk_init(&w, p, m, text_at(c, 1), size_at(c, 1));
    while (pattern_walk_next(&w)) {
        if (w.start == w.end)
            continue; /* Split does not show empty matches */
        const json_t *bounds = json_array_get(expected, n++);
        if (json_integer_value(json_array_get(bounds, 0)) != (json_int_t)w.start ||
            json_integer_value(json_array_get(bounds, 1)) != (json_int_t)w.end)
            fail_msg("%s: match %zu is %zu..%zu", text_at(c, 0), n - 1, w.start, w.end);
    }
    if (n != json_array_size(expected))
        fail_msg("%s: %zu matches, not %zu", text_at(c, 0), n, json_array_size(expected));
    pattern_memory_free(m);
    pattern_free(p);
}

static void patterns_match_where_oniguruma_does(void **state)
{
    (void)state;
    const json_t *cases = json_object_get(golden, "patterns");
    assert_true(json_array_size(cases) > 50);
    for (size_t n = 0; n < json_array_size(cases); n++)
        check_matches(json_array_get(cases, n));
}

static void what_cannot_be_translated_is_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "\\bword",  "a(?i)b|c", "(a)\\1",      "(?<name>a)", "[a-z&&[^b]]", "[[:alpha:]]", "[]a]",   "[abc",
        "(ab",      "ab)",      "*a",          "a|+",        "a**",         "a{2}?",       "(?=a)+", "(?#note)",
        "(*FAIL)a", "\\p{L",    "\\p{NoSuch}", "\\pL",       "\\X",         "\\K",         "\\G",    "\\R",
        "\\8",      "\\x{zz}",  "\\u12",       "[\\S\\D]",   "[\\P{L}]",    "(?x: a )",    "a{3,2}", "\\",
        "(?R)",     "(?~ab)",   "[\\b]",       "(?",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct err e = {0};
        struct pattern *p = NULL;
        if (!pattern_compile(&p, refused[i], "t.json: pre_tokenizer Split", &e))
            fail_msg("%s was taken", refused[i]);
        assert_int_equal(e.code, ERR_INPUT);
        assert_ptr_equal(strstr(e.text, "t.json: pre_tokenizer Split: the pattern "), e.text);
        assert_null(strchr(e.text, '\n'));
    }
}

/* Without a limit this would run until the sun burns out: 2^40 ways to cut 40 letters. */
static void a_pattern_without_end_gives_up(void **state)
{
    (void)state;
    struct err e = {0};
    struct pattern *p = NULL;
    struct pattern_memory *m = pattern_memory_new();
    struct pattern_walk w;
    assert_done(pattern_compile(&p, "(a|aa)+[^a-z]", "slow", &e), &e);
    char text[61];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 'b';
    pattern_walk_init(&w, p, m, text, sizeof text);
    assert_false(pattern_walk_next(&w));
    pattern_memory_free(m);
    pattern_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ill_formed_bytes_become_what_python_makes_of_them),
        cmocka_unit_test(composition_is_that_of_tokenizers),
        cmocka_unit_test(patterns_match_where_oniguruma_does),
        cmocka_unit_test(what_cannot_be_translated_is_refused),
        cmocka_unit_test(a_pattern_without_end_gives_up),
    };
    return cmocka_run_group_tests(tests, load_golden, free_golden);
}
