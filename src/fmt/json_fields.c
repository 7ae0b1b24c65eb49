#include "fmt/json_fields.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/assert.h"

enum { SHOWN_MAX = 80 }; /* characters of a refused value in an error */

/* The parser quotes what it met, which may be any byte; an error is one line. */
static void make_one_line(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
}

/* The most that the parser takes for this text. A value may be written in two or three bytes and take a hundred times
 * as many, so a file of moderate size could otherwise use up a machine's memory. */
static uint64_t memory_to_parse(const char *text, size_t size)
{
    /* of the heap, with what belongs to it: an object, a list with room for its first elements, a key with its place in
     * the object, one more element with its value */
    enum { OBJECT = 256, LIST = 192, MEMBER = 192, ELEMENT = 128 };
    uint64_t memory = 3 * (uint64_t)size; /* a string, and the buffer that doubles until it holds it */
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        const char c = text[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted)
            memory += c == '{' ? OBJECT : c == '[' ? LIST : c == ':' ? MEMBER : c == ',' ? ELEMENT : 0;
    }
    return memory;
}

json_t *json_parse_object(const char *text, size_t size, const char *path, struct err *e)
{
    const uint64_t memory = memory_to_parse(text, size);
    if (memory > JSON_MEMORY_MAX) {
        err_set(e, ERR_INPUT,
                "%s: its %zu bytes of JSON hold so many values that reading them could take %llu MB of memory, at most "
                "%d MB are allowed; no model needs so many: the file is damaged",
                path, size, (unsigned long long)(memory >> 20), JSON_MEMORY_MAX >> 20);
        return NULL;
    }
    json_error_t fault;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &fault);
    if (!root) {
        make_one_line(fault.text);
        err_set(e, ERR_INPUT, "%s:%d:%d: not valid JSON: %s", path, fault.line, fault.column, fault.text);
        return NULL;
    }
    if (!json_is_object(root)) {
        json_decref(root);
        err_set(e, ERR_INPUT, "%s: expected a JSON object, {\"key\": value, ...}", path);
        return NULL;
    }
    return root;
}

const json_t *fields_get(const struct fields *f, const char *key)
{
    const json_t *value = json_object_get(f->object, key);
    return json_is_null(value) ? NULL : value;
}

int fields_refuse(const struct fields *f, const char *key, const char *expected, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, expected);
    vsnprintf(text, sizeof text, expected, ap);
    va_end(ap);
    const json_t *value = json_object_get(f->object, key);
    if (!value)
        return err_set(f->e, ERR_INPUT, "%s: %s%s is missing; %s", f->path, f->section, key, text);
    char *shown = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT);
    int rc = err_set(f->e, ERR_INPUT, "%s: %s%s is %.*s%s; %s", f->path, f->section, key, SHOWN_MAX,
                     shown ? shown : "?", shown && strlen(shown) > SHOWN_MAX ? "..." : "", text);
    free(shown);
    return rc;
}

static int64_t refuse_int(const struct fields *f, const char *key, int64_t min, int64_t max)
{
    fields_refuse(f, key, "expected an integer from %lld to %lld", (long long)min, (long long)max);
    return 0;
}

int64_t fields_int(const struct fields *f, const char *key, int64_t min, int64_t max, int64_t absent)
{
    const json_t *value = fields_get(f, key);
    if (!value)
        return absent;
    if (json_is_integer(value) && json_integer_value(value) >= min && json_integer_value(value) <= max)
        return json_integer_value(value);
    refuse_int(f, key, min, max);
    return absent;
}

int64_t fields_need_int(const struct fields *f, const char *key, int64_t min, int64_t max)
{
    return fields_get(f, key) ? fields_int(f, key, min, max, 0) : refuse_int(f, key, min, max);
}

static double refuse_number(const struct fields *f, const char *key, double min, double max)
{
    fields_refuse(f, key, "expected a number from %g to %g", min, max);
    return 0;
}

double fields_number(const struct fields *f, const char *key, double min, double max, double absent)
{
    const json_t *value = fields_get(f, key);
    if (!value)
        return absent;
    double x = json_number_value(value);
    if (json_is_number(value) && x >= min && x <= max)
        return x;
    refuse_number(f, key, min, max);
    return absent;
}

double fields_need_number(const struct fields *f, const char *key, double min, double max)
{
    return fields_get(f, key) ? fields_number(f, key, min, max, 0) : refuse_number(f, key, min, max);
}

bool fields_bool(const struct fields *f, const char *key, bool absent)
{
    const json_t *value = fields_get(f, key);
    if (!value || json_is_boolean(value))
        return value ? json_is_true(value) : absent;
    fields_refuse(f, key, "expected true or false");
    return absent;
}

const char *fields_text(const struct fields *f, const char *key, const char *absent)
{
    const json_t *value = fields_get(f, key);
    if (!value || json_is_string(value))
        return value ? json_string_value(value) : absent;
    fields_refuse(f, key, "expected a string");
    return absent;
}

const char *fields_need_text(const struct fields *f, const char *key)
{
    if (!fields_get(f, key))
        fields_refuse(f, key, "expected a string");
    return fields_text(f, key, "");
}

static void put_character(struct strbuf *out, int32_t c, const char *bytes, size_t n)
{
    static const char replacement[] = "\xef\xbf\xbd";
    if (c < 0)
        strbuf_adds(out, replacement);
    else if (c == '"' || c == '\\')
        strbuf_printf(out, "\\%c", (char)c);
    else if (c < 0x20 || c == 0x7f)
        strbuf_printf(out, "\\u%04x", (unsigned)c);
    else
        strbuf_add(out, bytes, n);
}

void json_put_text(struct strbuf *out, const char *text, size_t size)
{
    strbuf_addc(out, '"');
    while (size) {
        int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size, &c);
        if (n < 1) {
            n = 1;
            c = -1;
        }
        put_character(out, c, text, (size_t)n);
        text += n;
        size -= (size_t)n;
    }
    strbuf_addc(out, '"');
}

void json_put_number(struct strbuf *out, double value)
{
    ASSERT(isfinite(value));
    char text[32];
    if (value == rint(value) && fabs(value) < 1e15) {
        strbuf_printf(out, "%.1f", value); /* a float to readers that tell 8 from 8.0 */
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    strbuf_adds(out, text);
}
