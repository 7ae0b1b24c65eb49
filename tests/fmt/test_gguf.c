/* GGUF: files of the gguf package are read exactly; counts, lengths, types and offsets that lie are refused with file
 * and key or tensor, before anything is allocated for them. */
#include "test.h"

#include <string.h>

#include "base/mem.h"
#include "files.h"
#include "fmt/gguf.h"

static const struct tensor *find(const void *container, const char *name)
{
    return gguf_tensor_find(container, name);
}

static struct gguf *open_file(const char *name)
{
    struct err e = {0};
    struct gguf *g = NULL;
    char *path = test_file(name);
    assert_done(gguf_open(&g, path, &e), &e);
    mem_free(path);
    return g;
}

static void reads_every_type_of_tensor(void **state)
{
    (void)state;
    struct gguf *g = open_file("pass_types.gguf");
    assert_int_equal(check_tensor_list("pass_types.gguf.tensors", g, find), gguf_tensor_count(g));
    assert_null(gguf_tensor_find(g, "absent"));
    gguf_close(g);
}

static void reads_every_kind_of_number(void **state)
{
    (void)state;
    struct gguf *g = open_file("pass_types.gguf");
    uint64_t u = 0;
    double f = 0;
    bool b = false;
    assert_true(gguf_get_u64(g, "k.u8", &u) && u == 200);
    assert_true(gguf_get_u64(g, "k.u16", &u) && u == 60000);
    assert_true(gguf_get_u64(g, "k.u32", &u) && u == 4000000000);
    assert_true(gguf_get_u64(g, "k.u64", &u) && u == UINT64_MAX);
    static const char *const negative[] = {"k.i8", "k.i16", "k.i32", "k.i64"};
    for (int i = 0; i < 4; i++)
        assert_false(gguf_get_u64(g, negative[i], &u));
    assert_true(u == UINT64_MAX); /* untouched by failures */
    assert_true(gguf_get_f64(g, "k.f32", &f) && f == (double)1e-5f);
    assert_true(gguf_get_f64(g, "k.f64", &f) && f == 0.1);
    assert_true(gguf_get_bool(g, "k.bool", &b) && b);
    assert_false(gguf_get_f64(g, "k.u8", &f) || gguf_get_u64(g, "k.f32", &u) || gguf_get_bool(g, "k.u8", &b));
    assert_false(gguf_has(g, "k.absent") || gguf_get_u64(g, "k.absent", &u));
    assert_true(gguf_has(g, "k.i8"));
    gguf_close(g);
}

static void reads_strings_and_arrays(void **state)
{
    (void)state;
    struct gguf *g = open_file("pass_types.gguf");
    const char *text = NULL;
    size_t size = 0;
    uint64_t count = 0;
    int64_t i = 0;
    double f = 0;
    assert_true(gguf_get_string(g, "k.string", &text, &size) && size == 6 && !memcmp(text, "h\xc3\xa9llo", 6));
    assert_true(gguf_get_array(g, "k.strings", &count) && count == 4);
    assert_true(gguf_array_string(g, "k.strings", 0, &text, &size) && size == 0);
    assert_true(gguf_array_string(g, "k.strings", 3, &text, &size) && size == 4 &&
                !memcmp(text,
                        "d\xc3\xa9"
                        "f",
                        4));
    assert_false(gguf_array_string(g, "k.strings", 4, &text, &size));
    assert_true(gguf_array_i64(g, "k.integers", 1, &i) && i == -4);
    assert_true(gguf_array_f64(g, "k.floats", 1, &f) && f == -1.5);
    assert_false(gguf_array_i64(g, "k.floats", 0, &i) || gguf_array_f64(g, "k.integers", 0, &f));
    assert_false(gguf_array_i64(g, "k.u8", 0, &i) || gguf_get_array(g, "k.string", &count)); /* not arrays */
    gguf_close(g);
}

static void keys_are_walked_in_file_order(void **state)
{
    (void)state;
    static const char *const expected[][2] = {
        {"general.architecture", "string"},
        {"k.u8", "u8"},
        {"k.i8", "i8"},
        {"k.u16", "u16"},
        {"k.i16", "i16"},
        {"k.u32", "u32"},
        {"k.i32", "i32"},
        {"k.f32", "f32"},
        {"k.u64", "u64"},
        {"k.i64", "i64"},
        {"k.f64", "f64"},
        {"k.bool", "bool"},
        {"k.string", "string"},
        {"k.strings", "array of string"},
        {"k.integers", "array of i32"},
        {"k.floats", "array of f32"},
    };
    struct gguf *g = open_file("pass_types.gguf");
    assert_int_equal(gguf_key_count(g), sizeof expected / sizeof expected[0]);
    for (int i = 0; i < gguf_key_count(g); i++) {
        const char *kind = NULL;
        assert_string_equal(gguf_key_at(g, i, &kind), expected[i][0]);
        assert_string_equal(kind, expected[i][1]);
    }
    gguf_close(g);
}

static int parse(const void *bytes, size_t size, struct err *e)
{
    struct gguf *g = NULL;
    void *copy = exact_copy(bytes, size);
    int rc = gguf_parse(&g, copy, size, "x.gguf", e);
    gguf_close(g);
    mem_free(copy);
    return rc;
}

/* Every prefix that ends before the last tensor does is a bad file. */
static void cut_files_are_refused(void **state)
{
    (void)state;
    size_t size;
    char *bytes = test_file_read("pass_types.gguf", &size);
    struct gguf *g = open_file("pass_types.gguf");
    const struct tensor *last = gguf_tensor_find(g, "norm.weight");
    size_t needed = last->offset + last->bytes;
    gguf_close(g);
    for (size_t n = 0; n < needed; n++) {
        struct err e = {0};
        assert_int_equal(parse(bytes, n, &e), -1);
        assert_int_equal(e.code, ERR_INPUT);
        assert_non_null(strstr(e.text, "x.gguf"));
    }
    struct err e = {0};
    assert_done(parse(bytes, needed, &e), &e);
    mem_free(bytes);
}

/* A GGUF file piece by piece. */
static void put_u32(struct strbuf *f, uint32_t v)
{
    strbuf_add(f, &v, sizeof v);
}

static void put_u64(struct strbuf *f, uint64_t v)
{
    strbuf_add(f, &v, sizeof v);
}

static void put_name(struct strbuf *f, const char *text)
{
    put_u64(f, strlen(text));
    strbuf_adds(f, text);
}

static void put_head(struct strbuf *f, uint32_t version, uint64_t tensors, uint64_t keys)
{
    strbuf_clear(f);
    strbuf_adds(f, "GGUF");
    put_u32(f, version);
    put_u64(f, tensors);
    put_u64(f, keys);
}

static void put_tensor(struct strbuf *f, const char *name, uint64_t fastest, uint64_t slowest, uint32_t type,
                       uint64_t offset)
{
    put_name(f, name);
    put_u32(f, 2);
    put_u64(f, fastest);
    put_u64(f, slowest);
    put_u32(f, type);
    put_u64(f, offset);
}

static void put_data(struct strbuf *f, size_t size)
{
    while (f->size % 32)
        strbuf_addc(f, 0);
    for (size_t i = 0; i < size; i++)
        strbuf_addc(f, 1);
}

static void refused(struct strbuf *f, const char *expected)
{
    struct err e = {0};
    int rc = parse(f->data, f->size, &e);
    if (rc != -1 || !strstr(e.text, expected) || !strstr(e.text, "x.gguf"))
        fail_msg("rc %d, \"%s\", expected \"%s\"", rc, e.text, expected);
    assert_int_equal(e.code, ERR_INPUT);
    assert_null(strchr(e.text, '\n'));
}

enum { F32 = 0, Q4_0 = 2, Q8_0 = 8, STRING = 8, ARRAY = 9, U32 = 4, BOOL = 7, U64 = 10 };

static void bad_heads_are_refused(void **state)
{
    (void)state;
    struct strbuf f;
    strbuf_init(&f);
    strbuf_adds(&f, "PK\3\4................................");
    refused(&f, "not a GGUF file");
    put_head(&f, 1, 0, 0);
    refused(&f, "GGUF version 1;");
    put_head(&f, 3u << 24, 0, 0);
    refused(&f, "big-endian");
    put_head(&f, 3, 0, UINT64_MAX);
    refused(&f, "18446744073709551615 metadata keys cannot lie in 0 bytes");
    put_head(&f, 3, UINT64_MAX / 2, 0);
    refused(&f, "9223372036854775807 tensors cannot lie in 0 bytes");
    strbuf_release(&f);
}

static void bad_keys_are_refused(void **state)
{
    (void)state;
    struct strbuf f;
    strbuf_init(&f);
    put_head(&f, 3, 0, 1);
    put_u64(&f, UINT64_MAX);
    strbuf_adds(&f, "a key of an absurd length");
    refused(&f, "the name of a key");
    put_head(&f, 3, 0, 1);
    put_name(&f, "two\nlines");
    put_u32(&f, U32);
    put_u32(&f, 1);
    refused(&f, "the name of a key");
    put_head(&f, 3, 0, 1);
    put_name(&f, "a");
    put_u32(&f, 13);
    put_u64(&f, 0);
    refused(&f, "key a: unknown type");
    put_head(&f, 3, 0, 1);
    put_name(&f, "a");
    put_u32(&f, BOOL);
    strbuf_addc(&f, 2);
    refused(&f, "key a: a bool is neither 0 nor 1");
    put_head(&f, 3, 0, 2);
    for (int i = 0; i < 2; i++) {
        put_name(&f, "a");
        put_u32(&f, U32);
        put_u32(&f, 1);
    }
    refused(&f, "key a: is there twice");
    put_head(&f, 3, 0, 1);
    put_name(&f, "general.alignment");
    put_u32(&f, U32);
    put_u32(&f, 24);
    refused(&f, "key general.alignment: expected a power of two");
    strbuf_release(&f);
}

static void bad_arrays_are_refused(void **state)
{
    (void)state;
    static const uint64_t absurd[] = {1000, UINT64_MAX, UINT64_MAX / 4 + 2, UINT64_MAX / 8 + 1};
    struct strbuf f;
    strbuf_init(&f);
    for (int i = 0; i < 4; i++) {
        for (uint32_t kind = 0; kind <= 12; kind++) {
            put_head(&f, 3, 0, 1);
            put_name(&f, "a");
            put_u32(&f, ARRAY);
            put_u32(&f, kind);
            put_u64(&f, absurd[i]);
            strbuf_adds(&f, "........");
            refused(&f, kind == ARRAY ? "arrays of arrays" : "key a: its value ends past the end");
        }
    }
    put_head(&f, 3, 0, 1);
    put_name(&f, "a");
    put_u32(&f, STRING);
    put_u64(&f, UINT64_MAX - 4);
    strbuf_adds(&f, "text");
    refused(&f, "key a: its value ends past the end");
    strbuf_release(&f);
}

static void bad_tensors_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t fastest, slowest;
        uint32_t type;
        uint64_t offset;
        const char *expected;
    } cases[] = {
        {4, 4, F32, 1 << 20, "tensor w: 64 bytes at 1048576 of the data end past the end"},
        {4, 4, F32, UINT64_MAX - 31, "tensor w: 64 bytes at 18446744073709551584"},
        {4, 5, F32, 0, "tensor w: 80 bytes at 0 of the data end past the end"},
        {4, 4, F32, 16, "tensor w: its offset is not aligned"},
        {UINT64_MAX, 1, F32, 0, "tensor w: more elements than 64 bits can count"},
        {1ull << 33, 1ull << 33, F32, 0, "tensor w: more elements"},
        {1ull << 32, 1ull << 30, F32, 0, "tensor w: rows of"},
        {33, 1, Q8_0, 0, "tensor w: rows of 33 elements are no whole blocks of type Q8_0"},
        {16, 2, Q4_0, 0, "tensor w: rows of 16 elements are no whole blocks of type Q4_0"},
        {4, 4, 13, 0, "tensor w: type Q5_K is not read"},
        {4, 4, 4, 0, "tensor w: unknown type 4"},
        {4, 4, UINT32_MAX, 0, "tensor w: unknown type 4294967295"},
    };
    struct strbuf f;
    strbuf_init(&f);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put_head(&f, 3, 1, 0);
        put_tensor(&f, "w", cases[i].fastest, cases[i].slowest, cases[i].type, cases[i].offset);
        put_data(&f, 64);
        refused(&f, cases[i].expected);
    }
    put_head(&f, 3, 1, 0);
    put_name(&f, "w");
    put_u32(&f, 5);
    put_data(&f, 64);
    refused(&f, "tensor w: 5 dimensions");
    strbuf_release(&f);
}

/* An empty tensor inside another's bytes must not hide the overlap from a check of neighbours. */
static void overlap_and_twins_are_refused(void **state)
{
    (void)state;
    struct strbuf f;
    strbuf_init(&f);
    put_head(&f, 3, 2, 0);
    put_tensor(&f, "a", 4, 4, F32, 0);
    put_tensor(&f, "b", 4, 4, F32, 32);
    put_data(&f, 128);
    refused(&f, "tensor b: its bytes overlap");
    put_head(&f, 3, 3, 0);
    put_tensor(&f, "a", 4, 8, F32, 0);
    put_tensor(&f, "b", 4, 0, F32, 32);
    put_tensor(&f, "c", 4, 4, F32, 64);
    put_data(&f, 128);
    refused(&f, "its bytes overlap");
    put_head(&f, 3, 2, 0);
    put_tensor(&f, "a", 4, 4, F32, 0);
    put_tensor(&f, "a", 4, 4, F32, 64);
    put_data(&f, 128);
    refused(&f, "tensor a is there twice");
    strbuf_release(&f);
}

static void numbers_beyond_i64_are_not_given(void **state)
{
    (void)state;
    struct strbuf f;
    strbuf_init(&f);
    put_head(&f, 3, 0, 1);
    put_name(&f, "a");
    put_u32(&f, ARRAY);
    put_u32(&f, U64);
    put_u64(&f, 2);
    put_u64(&f, INT64_MAX);
    put_u64(&f, (uint64_t)INT64_MAX + 1);
    struct err e = {0};
    struct gguf *g = NULL;
    int64_t v = 0;
    assert_done(gguf_parse(&g, f.data, f.size, "x.gguf", &e), &e);
    assert_true(gguf_array_i64(g, "a", 0, &v) && v == INT64_MAX);
    assert_false(gguf_array_i64(g, "a", 1, &v));
    gguf_close(g);
    strbuf_release(&f);
}

static void own_alignment_is_followed(void **state)
{
    (void)state;
    struct strbuf f;
    strbuf_init(&f);
    put_head(&f, 2, 1, 1);
    put_name(&f, "general.alignment");
    put_u32(&f, U32);
    put_u32(&f, 8);
    put_tensor(&f, "w", 2, 1, F32, 8);
    while (f.size % 8)
        strbuf_addc(&f, 0);
    size_t start = f.size;
    strbuf_add(&f, "................", 16);
    struct err e = {0};
    struct gguf *g = NULL;
    assert_done(gguf_parse(&g, f.data, f.size, "x.gguf", &e), &e);
    assert_int_equal(gguf_tensor_at(g, 0)->offset, start + 8);
    gguf_close(g);
    strbuf_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_type_of_tensor), cmocka_unit_test(reads_every_kind_of_number),
        cmocka_unit_test(reads_strings_and_arrays),   cmocka_unit_test(keys_are_walked_in_file_order),
        cmocka_unit_test(cut_files_are_refused),      cmocka_unit_test(bad_heads_are_refused),
        cmocka_unit_test(bad_keys_are_refused),       cmocka_unit_test(bad_arrays_are_refused),
        cmocka_unit_test(bad_tensors_are_refused),    cmocka_unit_test(overlap_and_twins_are_refused),
        cmocka_unit_test(own_alignment_is_followed),  cmocka_unit_test(numbers_beyond_i64_are_not_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
