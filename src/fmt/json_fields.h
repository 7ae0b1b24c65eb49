/* JSON that we did not write, read field by field, and the few JSON values that we write.
 *
 * Reading is sticky like a cursor: every getter puts its complaint into one error, the first one stays, and the reader
 * asks e->code once at its end. A complaint names file, key, what was found and what was expected. null counts as
 * absent. */
#ifndef RETORT_FMT_JSON_FIELDS_H
#define RETORT_FMT_JSON_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"

/* Bytes that parsing may take. The tokenizers with the largest vocabularies take a third of it. */
enum { JSON_MEMORY_MAX = 1 << 30 };

/* An object from text (depth bounded by jansson, memory as above, a key twice is an error), or NULL. json_decref it. */
json_t *json_parse_object(const char *text, size_t size, const char *path, struct err *e);

/* One object of a file. section stands before its keys in errors: "" or "rope_scaling.". All borrowed. */
struct fields {
    const json_t *object;
    const char *path, *section;
    struct err *e;
};

/* The value, or NULL if the key is absent or null. */
const json_t *fields_get(const struct fields *f, const char *key);

/* The value, absent if there is none, and absent with an error if it has another type or lies outside min .. max. */
int64_t fields_int(const struct fields *f, const char *key, int64_t min, int64_t max, int64_t absent);
double fields_number(const struct fields *f, const char *key, double min, double max, double absent);
bool fields_bool(const struct fields *f, const char *key, bool absent);
const char *fields_text(const struct fields *f, const char *key, const char *absent); /* borrowed from the object */

/* The same for a key that must be there; 0 or "" with an error if not. */
int64_t fields_need_int(const struct fields *f, const char *key, int64_t min, int64_t max);
double fields_need_number(const struct fields *f, const char *key, double min, double max);
const char *fields_need_text(const struct fields *f, const char *key);

/* ERR_INPUT: "<path>: <section><key> is <value as JSON, cut>; <expected>". */
int fields_refuse(const struct fields *f, const char *key, const char *expected, ...)
    __attribute__((format(printf, 3, 4)));

/* "text" with escapes; bytes that are not UTF-8 become U+FFFD, so that the result is always JSON and one line. */
void json_put_text(struct strbuf *out, const char *text, size_t size);
/* The shortest decimal that reads back as the same double: 1e-05, 0.1, 10000.0. value must be finite. */
void json_put_number(struct strbuf *out, double value);

#endif
