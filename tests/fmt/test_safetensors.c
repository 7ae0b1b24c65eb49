/* .safetensors: files of the format's own library are read exactly; every breach of the format is refused with file and
 * tensor; a planned file reads back. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "files.h"

static const struct tensor *find(const void *container, const char *name)
{
    return safetensors_find(container, name);
}

static void reads_files_of_the_library(void **state)
{
    (void)state;
    struct err e = {0};
    struct safetensors *s = NULL;
    char *path = test_file("pass_types.safetensors");
    assert_done(safetensors_open(&s, path, &e), &e);
    assert_int_equal(check_tensor_list("pass_types.safetensors.tensors", s, find), safetensors_count(s));
    assert_string_equal(safetensors_metadata(s, "format"), "pt");
    assert_string_equal(safetensors_metadata(s, "note"), "quote \" and \xc3\xa9");
    assert_null(safetensors_metadata(s, "absent"));
    assert_null(safetensors_find(s, "absent"));
    for (int i = 1; i < safetensors_count(s); i++)
        assert_true(safetensors_at(s, i - 1)->offset <= safetensors_at(s, i)->offset);
    safetensors_close(s);
    mem_free(path);

    path = test_file("pass_empty.safetensors");
    assert_done(safetensors_open(&s, path, &e), &e);
    assert_int_equal(safetensors_count(s), 0);
    safetensors_close(s);
    mem_free(path);
}

/* Every prefix of a good file is a bad file. */
static void cut_files_are_refused(void **state)
{
    (void)state;
    size_t size;
    char *bytes = test_file_read("pass_types.safetensors", &size);
    for (size_t n = 0; n < size; n++) {
        struct err e = {0};
        struct safetensors *s = NULL;
        void *copy = exact_copy(bytes, n);
        assert_int_equal(safetensors_parse(&s, copy, n, "cut.safetensors", &e), -1);
        assert_int_equal(e.code, ERR_INPUT);
        assert_non_null(strstr(e.text, "cut.safetensors"));
        assert_null(s);
        mem_free(copy);
    }
    mem_free(bytes);
}

/* A file of this header and so many bytes of data; claimed: what its first 8 bytes say, 0 for the truth. */
static int parse(const char *header, size_t data, uint64_t claimed, struct safetensors **s, struct err *e)
{
    uint64_t size = claimed ? claimed : strlen(header);
    struct strbuf file;
    strbuf_init(&file);
    strbuf_add(&file, &size, sizeof size);
    strbuf_adds(&file, header);
    for (size_t i = 0; i < data; i++)
        strbuf_addc(&file, (char)i);
    void *copy = exact_copy(file.data, file.size);
    int rc = safetensors_parse(s, copy, file.size, "x.safetensors", e);
    if (!rc)
        safetensors_close(*s);
    mem_free(copy);
    strbuf_release(&file);
    return rc;
}

#define ENTRY(name, dtype, shape, offsets) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void breaches_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        uint64_t claimed;
        const char *expected;
    } cases[] = {
        {"{" ENTRY("w", "F32", "[2]", "[0,8]") "}", 7, 0, "tensor w ends at byte 8 of the data, the file holds only 7"},
        {"{" ENTRY("w", "F32", "[2]", "[0,8]") "}", 9, 0, "1 bytes at the end belong to no tensor"},
        {"{" ENTRY("w", "F32", "[2]", "[0,4]") "}", 4, 0, "tensor w: 2 elements of type F32 do not take the 4 bytes"},
        {"{" ENTRY("w", "F32", "[2]", "[8,0]") "}", 8, 0, "tensor w: data_offsets"},
        {"{" ENTRY("w", "F32", "[2]", "[-8,0]") "}", 8, 0, "tensor w: data_offsets"},
        {"{" ENTRY("w", "F32", "[2]", "[0,8,16]") "}", 8, 0, "tensor w: data_offsets"},
        {"{" ENTRY("w", "F32", "[2]", "[0.0,8.0]") "}", 8, 0, "tensor w: data_offsets"},
        {"{" ENTRY("w", "F32", "[2]", "[0,18446744073709551615]") "}", 8, 0, "x.safetensors:1:"},
        {"{" ENTRY("w", "F32", "[2]", "[9223372036854775800,9223372036854775807]") "}", 8, 0, "tensor w ends at byte"},
        {"{" ENTRY("w", "F32", "[4611686018427387905]", "[0,4]") "}", 4, 0, "tensor w: 4611686018427387905 elements"},
        {"{" ENTRY("w", "F32", "[4294967296,4294967296]", "[0,0]") "}", 0, 0, "tensor w: shape: more elements"},
        {"{" ENTRY("w", "F32", "[-1,-2]", "[0,8]") "}", 8, 0, "tensor w: shape: a dimension"},
        {"{" ENTRY("w", "F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]") "}", 8, 0,
         "tensor w: shape: expected a list of at most 8"},
        {"{" ENTRY("w", "F32", "{}", "[0,8]") "}", 8, 0, "tensor w: shape: expected a list"},
        {"{" ENTRY("w", "F8_E4M3", "[8]", "[0,8]") "}", 8, 0, "tensor w: dtype is \"F8_E4M3\"; retort reads F32"},
        {"{" ENTRY("w", "Q8_0", "[32]", "[0,34]") "}", 34, 0, "tensor w: dtype is \"Q8_0\""},
        {"{" ENTRY("a", "U8", "[4]", "[0,4]") "," ENTRY("b", "U8", "[4]", "[2,6]") "}", 6, 0,
         "tensor b: its bytes overlap"},
        {"{" ENTRY("a", "U8", "[4]", "[0,4]") "," ENTRY("b", "U8", "[4]", "[0,4]") "}", 4, 0, "its bytes overlap"},
        {"{" ENTRY("a", "U8", "[4]", "[0,4]") "," ENTRY("b", "U8", "[4]", "[6,10]") "}", 10, 0,
         "tensor b: before its bytes"},
        {"{" ENTRY("a", "U8", "[4]", "[1,5]") "}", 5, 0, "tensor a: before its bytes there is a hole"},
        {"{" ENTRY("a", "U8", "[1]", "[0,1]") "," ENTRY("a", "U8", "[1]", "[1,2]") "}", 2, 0, "duplicate"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, 0, "tensor a: expected exactly dtype, shape and data_offsets"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"strides\":[2]}}", 1, 0,
         "tensor a: expected exactly"},
        {"{\"a\":7}", 0, 0, "tensor a: expected exactly"},
        {"{" ENTRY("", "U8", "[1]", "[0,1]") "}", 1, 0, "name is empty"},
        {"{" ENTRY("a\\nb", "U8", "[1]", "[0,1]") "}", 1, 0, "holds control characters"},
        {"{\"__metadata__\":[]}", 0, 0, "__metadata__: expected an object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, 0, "__metadata__: a value is no string"},
        {"[]", 0, 0, "does not begin with {"},
        {" {}", 0, 0, "does not begin with {"},
        {"{}{}", 0, 0, "not valid JSON"},
        {"{", 0, 0, "not valid JSON"},
        {"{}", 0, 3, "the header of 3 bytes ends past the end of the file"},
        {"{}", 0, 100000001, "a header of 100000001 bytes"},
        {"{}", 0, UINT64_MAX, "a header of 18446744073709551615 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        struct safetensors *s = NULL;
        int rc = parse(cases[i].header, cases[i].data, cases[i].claimed, &s, &e);
        if (rc != -1 || !strstr(e.text, cases[i].expected) || !strstr(e.text, "x.safetensors"))
            fail_msg("%s: rc %d, \"%s\", expected \"%s\"", cases[i].header, rc, e.text, cases[i].expected);
        assert_int_equal(e.code, ERR_INPUT);
        assert_null(strchr(e.text, '\n'));
    }
}

static void legal_oddities_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
    } cases[] = {
        {"{}   \n\t ", 0},
        {"{" ENTRY("b", "U8", "[4]", "[4,8]") "," ENTRY("a", "U8", "[4]", "[0,4]") "}", 8},
        {"{" ENTRY("a", "U8", "[4]", "[0,4]") "," ENTRY("e", "F32", "[0,9]", "[4,4]") "," ENTRY("b", "U8", "[1]",
                                                                                                "[4,5]") "}",
         5},
        {"{" ENTRY("s", "F32", "[]", "[0,4]") "}", 4},
        {"{\"__metadata__\":{}}", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        struct safetensors *s = NULL;
        assert_done(parse(cases[i].header, cases[i].data, 0, &s, &e), &e);
    }
}

static void lfs_pointers_are_named(void **state)
{
    (void)state;
    static const char text[] = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n";
    struct err e = {0};
    struct safetensors *s = NULL;
    assert_int_equal(safetensors_parse(&s, text, sizeof text - 1, "m.safetensors", &e), -1);
    assert_non_null(strstr(e.text, "git lfs pull"));
}

static void deep_headers_do_not_exhaust_the_stack(void **state)
{
    (void)state;
    struct strbuf header;
    strbuf_init(&header);
    strbuf_adds(&header, "{\"a\":");
    for (int i = 0; i < 1000000; i++)
        strbuf_addc(&header, '[');
    struct err e = {0};
    struct safetensors *s = NULL;
    assert_int_equal(parse(header.data, 0, 0, &s, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    strbuf_release(&header);
}

/* start, then 2^doublings times one, then end. */
static char *repeated(const char *start, const char *one, int doublings, const char *end)
{
    struct strbuf body, text;
    strbuf_init(&body);
    strbuf_init(&text);
    strbuf_adds(&body, one);
    for (int i = 0; i < doublings; i++) {
        strbuf_reserve(&body, body.size); /* so that it does not move while it is added to itself */
        strbuf_add(&body, body.data, body.size);
    }
    strbuf_adds(&text, start);
    strbuf_add(&text, body.data, body.size);
    strbuf_adds(&text, end);
    strbuf_release(&body);
    return strbuf_detach(&text);
}

/* Each would take more than a gigabyte once it is parsed. */
static void headers_of_too_many_values_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *one;
        int doublings;
    } cases[] = {{"{},", 22}, {"[],", 22}, {"0,", 23}, {"\"\",", 23}, {"{\"\":0},", 21}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        struct safetensors *s = NULL;
        char *header = repeated("{\"a\":[", cases[i].one, cases[i].doublings, "0]}");
        assert_int_equal(parse(header, 0, 0, &s, &e), -1);
        if (e.code != ERR_INPUT || !strstr(e.text, "x.safetensors: its") || !strstr(e.text, "MB of memory"))
            fail_msg("%s: %s", cases[i].one, e.text);
        mem_free(header);
    }
}

/* What stands in strings is no value. */
static void long_metadata_are_read(void **state)
{
    (void)state;
    struct err e = {0};
    struct safetensors *s = NULL;
    char *header = repeated("{\"__metadata__\":{\"a\":\"", "{[\\\"{,:\\\\", 21, "\"}}");
    assert_done(parse(header, 0, 0, &s, &e), &e);
    mem_free(header);
}

/* Several times as many as models have in one file. */
static void many_tensors_are_read(void **state)
{
    (void)state;
    enum { TENSORS = 20000 };
    struct safetensors_plan *p = safetensors_plan_new();
    for (int i = 0; i < TENSORS; i++) {
        char name[100];
        snprintf(name, sizeof name, "model.layers.%d.mlp.experts.%d.down_proj.weight", i / 200, i % 200);
        safetensors_plan_add(p, name, DTYPE_F32, 2, (const int64_t[]){7168, 0});
    }
    struct strbuf file;
    strbuf_init(&file);
    safetensors_plan_finish(p, &file);
    struct err e = {0};
    struct safetensors *s = NULL;
    assert_done(safetensors_parse(&s, file.data, file.size, "large", &e), &e);
    assert_int_equal(safetensors_count(s), TENSORS);
    assert_non_null(safetensors_find(s, "model.layers.19.mlp.experts.199.down_proj.weight"));
    safetensors_close(s);
    safetensors_plan_free(p);
    strbuf_release(&file);
}

static void planned_files_read_back(void **state)
{
    (void)state;
    const int64_t matrix[] = {3, 5}, vector[] = {7}, empty[] = {0, 2};
    struct safetensors_plan *p = safetensors_plan_new();
    safetensors_plan_metadata(p, "format", "pt");
    safetensors_plan_metadata(p, "path", "a\"b\\c\n\xff\xc3\xa9");
    assert_int_equal(safetensors_plan_add(p, "w", DTYPE_BF16, 2, matrix), 0);
    assert_int_equal(safetensors_plan_add(p, "v \"quoted\"", DTYPE_F32, 1, vector), 1);
    assert_int_equal(safetensors_plan_add(p, "none", DTYPE_F32, 2, empty), 2);
    assert_int_equal(safetensors_plan_add(p, "scalar", DTYPE_F64, 0, NULL), 3);
    struct strbuf file;
    strbuf_init(&file);
    safetensors_plan_finish(p, &file);
    assert_int_equal(file.size % 64, 0);
    assert_int_equal(safetensors_plan_offset(p, 0), file.size);
    assert_int_equal(safetensors_plan_offset(p, 1), file.size + 30);
    assert_int_equal(safetensors_plan_offset(p, 3), file.size + 30 + 28);
    assert_int_equal(safetensors_plan_size(p), file.size + 30 + 28 + 8);
    for (uint64_t i = file.size; i < safetensors_plan_size(p); i++)
        strbuf_addc(&file, (char)i);

    struct err e = {0};
    struct safetensors *s = NULL;
    assert_done(safetensors_parse(&s, file.data, file.size, "planned", &e), &e);
    assert_int_equal(safetensors_count(s), 4);
    const struct tensor *v = safetensors_find(s, "v \"quoted\"");
    assert_non_null(v);
    assert_int_equal(v->offset, safetensors_plan_offset(p, 1));
    assert_int_equal(v->shape[0], 7);
    assert_ptr_equal(v->data, (unsigned char *)file.data + v->offset);
    assert_string_equal(safetensors_metadata(s, "path"), "a\"b\\c\n\xef\xbf\xbd\xc3\xa9");
    safetensors_close(s);
    safetensors_plan_free(p);
    strbuf_release(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_files_of_the_library),
        cmocka_unit_test(cut_files_are_refused),
        cmocka_unit_test(breaches_are_refused),
        cmocka_unit_test(legal_oddities_are_read),
        cmocka_unit_test(lfs_pointers_are_named),
        cmocka_unit_test(deep_headers_do_not_exhaust_the_stack),
        cmocka_unit_test(headers_of_too_many_values_are_refused),
        cmocka_unit_test(long_metadata_are_read),
        cmocka_unit_test(many_tensors_are_read),
        cmocka_unit_test(planned_files_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
