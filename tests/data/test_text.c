/* Broken UTF-8 and white space against Python (golden_text.txt, made by tools/reference/data_text.py). */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "data/text.h"

enum { FIELD_MAX = 512 };

/* "-" is no bytes. */
static size_t from_hex(const char *hex, char *bytes)
{
    size_t n = 0;
    for (; *hex && *hex != '-'; hex += 2) {
        unsigned value;
        assert_int_equal(sscanf(hex, "%2x", &value), 1);
        bytes[n++] = (char)value;
    }
    return n;
}

static void check_line(const char *hex[3])
{
    char bytes[3][FIELD_MAX];
    size_t size[3];
    for (int i = 0; i < 3; i++)
        size[i] = from_hex(hex[i], bytes[i]);

    struct strbuf repaired;
    strbuf_init(&repaired);
    size_t replaced = utf8_append_repaired(&repaired, bytes[0], size[0]);
    assert_int_equal(repaired.size, size[1]);
    assert_memory_equal(repaired.data, bytes[1], size[1]);
    assert_int_equal(replaced == 0, size[0] == size[1] && memcmp(bytes[0], bytes[1], size[0]) == 0);
    assert_int_equal(utf8_valid_prefix(bytes[0], size[0]) == size[0], replaced == 0);

    size_t n = repaired.size;
    const char *trimmed = text_trim(repaired.data, &n);
    assert_int_equal(n, size[2]);
    assert_memory_equal(trimmed, bytes[2], n);
    strbuf_release(&repaired);
}

static void as_python(void **state)
{
    (void)state;
    FILE *f = fopen(GOLDEN_TEXT, "r");
    assert_non_null(f);
    char hex[3][2 * FIELD_MAX];
    int lines = 0;
    for (; fscanf(f, "%1000s %1000s %1000s", hex[0], hex[1], hex[2]) == 3; lines++)
        check_line((const char *[]){hex[0], hex[1], hex[2]});
    assert_true(lines > 600);
    fclose(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_python)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
