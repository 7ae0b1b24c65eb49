/* store.json: one table of fields writes it, reads it, and compares what a store holds with what a job wants.
 *
 * It is only ever what store_print() writes: a text that says the same in other bytes counts as damaged, so that no
 * flipped bit goes unseen. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "fmt/json_fields.h"
#include "label/record_format.h"
#include "label/store_internal.h"

#define FORMAT "retort label store 1"
enum { HASH_DIGITS = 16 };

enum type { TYPE_TEXT, TYPE_HASH, TYPE_INT, TYPE_U32, TYPE_I64, TYPE_NUMBER, TYPE_KIND, TYPE_VALUES };

/* Who must agree in a field with what the store holds. */
enum agreement { ALL, WRITERS, NOBODY };

struct field {
    const char *key, *name; /* in the file; as an error calls it */
    enum type type;
    size_t offset, size; /* in the description; of a text with its end */
    double least, most;
    enum agreement agreement;
    int kind; /* of the labels that alone have it; ANY_KIND */
};

enum { ANY_KIND = -1 };
#define AT(member) offsetof(struct store_description, member)
#define TEXT(key, name, member, who)                                                                         \
    {                                                                                                        \
        key, name, TYPE_TEXT, AT(member), sizeof((struct store_description *)0)->member, 0, 0, who, ANY_KIND \
    }
#define HASH(key, name, member, who)                             \
    {                                                            \
        key, name, TYPE_HASH, AT(member), 0, 0, 0, who, ANY_KIND \
    }
#define RANGE(key, name, type, member, least, most, kind)      \
    {                                                          \
        key, name, type, AT(member), 0, least, most, ALL, kind \
    }

/* In the order in which differences are told: what the job says itself before what follows from it. */
static const struct field fields[] = {
    RANGE("kind", "labels.encoding.kind", TYPE_KIND, label.kind, 0, 0, ANY_KIND),
    RANGE("values", "labels.encoding.values", TYPE_VALUES, label.values, 0, 0, ANY_KIND),
    RANGE("threshold", "labels.encoding.threshold", TYPE_NUMBER, label.threshold, 0x1p-60, 1, LABEL_SAMPLED),
    RANGE("draws", "labels.encoding.draws", TYPE_I64, label.draws, 1, 0x1p32, LABEL_RANDOM),
    RANGE("k", "labels.encoding.k", TYPE_I64, label.k, 1, 0x1p32, LABEL_TOP_K),
    RANGE("hidden", "the size of the teacher's hidden state", TYPE_I64, label.hidden, 1, 0x1p31, LABEL_HIDDEN),
    RANGE("temperature", "distill.temperature", TYPE_NUMBER, label.temperature, 0x1p-60, 0x1p60, ANY_KIND),
    HASH("seed", "labels.seed", label.seed, NOBODY),
    RANGE("sequence_length", "data.sequence_length", TYPE_INT, sequence_length, 1, INT32_MAX, ANY_KIND),
    HASH("tokenizer", "the hash of the tokenizer", tokenizer, ALL),
    RANGE("train_sequences", "the number of training sequences", TYPE_I64, sequences[SPLIT_TRAIN], 0, 0x1p53, ANY_KIND),
    RANGE("validation_sequences", "the number of validation sequences", TYPE_I64, sequences[SPLIT_VALIDATION], 0,
          0x1p53, ANY_KIND),
    HASH("corpus", "the hash of the data and its packing", corpus, ALL),
    RANGE("vocabulary", "the size of the vocabulary", TYPE_U32, vocabulary, 1, 1 << 8 * RECORD_ID_BYTES, ANY_KIND),
    HASH("vocabulary_mask", "the hash of the vocabulary's mask", vocabulary_mask, ALL),
    TEXT("teacher_name", "teacher.model", teacher_name, NOBODY),
    HASH("teacher", "the fingerprint of teacher.model", teacher, WRITERS),
    TEXT("adapter_name", "teacher.adapter", adapter_name, NOBODY),
    HASH("adapter", "the fingerprint of teacher.adapter", adapter, WRITERS),
    TEXT("precision", "teacher.precision", precision, WRITERS),
    TEXT("version", "the version of retort", version, NOBODY),
};
enum { FIELDS = sizeof fields / sizeof *fields };

static const void *member(const struct store_description *d, const struct field *f)
{
    return (const char *)d + f->offset;
}

static bool applies(const struct field *f, const struct store_description *d)
{
    return f->kind == ANY_KIND || f->kind == (int)d->label.kind;
}

/* --- writing --- */

/* The value as JSON. */
static void put_value(struct strbuf *out, const struct store_description *d, const struct field *f)
{
    const void *at = member(d, f);
    switch (f->type) {
    case TYPE_TEXT:
        json_put_text(out, at, strlen(at));
        break;
    case TYPE_HASH:
        strbuf_printf(out, "\"%016llx\"", (unsigned long long)*(const uint64_t *)at);
        break;
    case TYPE_INT:
        strbuf_printf(out, "%d", *(const int *)at);
        break;
    case TYPE_U32:
        strbuf_printf(out, "%u", *(const uint32_t *)at);
        break;
    case TYPE_I64:
        strbuf_printf(out, "%lld", (long long)*(const int64_t *)at);
        break;
    case TYPE_NUMBER:
        json_put_number(out, *(const double *)at);
        break;
    case TYPE_KIND:
        strbuf_printf(out, "\"%s\"", label_kind_name(d->label.kind));
        break;
    case TYPE_VALUES:
        strbuf_printf(out, "\"%s\"", label_values_name(d->label.values));
    }
}

/* Of an object without its checksum: the same however it was laid out. */
static uint64_t checksum(const json_t *object)
{
    json_t *rest = json_copy((json_t *)object);
    json_object_del(rest, "checksum");
    char *text = json_dumps(rest, JSON_COMPACT | JSON_SORT_KEYS);
    ASSERT(text);
    const uint64_t hash = hash64(text, strlen(text));
    free(text);
    json_decref(rest);
    return hash;
}

void store_print(const struct store_description *d, struct strbuf *out)
{
    const size_t begin = out->size;
    struct err e = {0};
    strbuf_adds(out, "{\n  \"format\": \"" FORMAT "\"");
    for (int i = 0; i < FIELDS; i++)
        if (applies(&fields[i], d)) {
            strbuf_printf(out, ",\n  \"%s\": ", fields[i].key);
            put_value(out, d, &fields[i]);
        }
    const size_t end = out->size;
    strbuf_adds(out, "}");
    json_t *object = json_parse_object(out->data + begin, out->size - begin, STORE_JSON, &e);
    ASSERT(object);
    out->size = end;
    strbuf_printf(out, ",\n  \"checksum\": \"%016llx\"\n}\n", (unsigned long long)checksum(object));
    json_decref(object);
}

/* --- reading --- */

static uint64_t need_hash(const struct fields *f, const char *key)
{
    const char *text = fields_need_text(f, key);
    if (f->e->code)
        return 0;
    if (strlen(text) == HASH_DIGITS && strspn(text, "0123456789abcdef") == HASH_DIGITS)
        return strtoull(text, NULL, 16);
    fields_refuse(f, key, "expected 16 digits of a hexadecimal number");
    return 0;
}

static enum label_kind need_kind(const struct fields *f, const char *key)
{
    const char *text = fields_need_text(f, key);
    for (enum label_kind k = LABEL_SAMPLED; k <= LABEL_HIDDEN; k++)
        if (!strcmp(text, label_kind_name(k)))
            return k;
    fields_refuse(f, key, "expected sampled, random, top_k or hidden");
    return LABEL_SAMPLED;
}

static enum label_values need_values(const struct fields *f, const char *key)
{
    const char *text = fields_need_text(f, key);
    for (enum label_values v = VALUES_U8; v <= VALUES_F32; v++)
        if (!strcmp(text, label_values_name(v)))
            return v;
    fields_refuse(f, key, "expected u8, f16 or f32");
    return VALUES_U8;
}

static void read_text(const struct fields *from, const struct field *f, char *at)
{
    const char *text = fields_need_text(from, f->key);
    if (strlen(text) < f->size)
        strcpy(at, text);
    else
        fields_refuse(from, f->key, "expected at most %zu bytes", f->size - 1);
}

static void read_field(const struct fields *from, const struct field *f, struct store_description *d)
{
    void *at = (char *)d + f->offset;
    switch (f->type) {
    case TYPE_TEXT:
        read_text(from, f, at);
        break;
    case TYPE_HASH:
        *(uint64_t *)at = need_hash(from, f->key);
        break;
    case TYPE_INT:
        *(int *)at = (int)fields_need_int(from, f->key, (int64_t)f->least, (int64_t)f->most);
        break;
    case TYPE_U32:
        *(uint32_t *)at = (uint32_t)fields_need_int(from, f->key, (int64_t)f->least, (int64_t)f->most);
        break;
    case TYPE_I64:
        *(int64_t *)at = fields_need_int(from, f->key, (int64_t)f->least, (int64_t)f->most);
        break;
    case TYPE_NUMBER:
        *(double *)at = fields_need_number(from, f->key, f->least, f->most);
        break;
    case TYPE_KIND:
        d->label.kind = need_kind(from, f->key);
        break;
    case TYPE_VALUES:
        d->label.values = need_values(from, f->key);
    }
}

static int damaged(const char *path, struct err *e)
{
    return err_set(
        e, ERR_INPUT,
        "%s: is not as it was written (checksum); it is damaged or was edited: restore it, the labels beside "
        "it mean nothing without it",
        path);
}

static int read_object(struct store_description *d, const json_t *object, const char *path, struct err *e)
{
    const struct fields from = {object, path, "", e};
    const char *format = fields_need_text(&from, "format");
    if (e->code)
        return -1;
    if (strcmp(format, FORMAT))
        return fields_refuse(&from, "format", "this retort reads \"" FORMAT "\"");
    const uint64_t expected = need_hash(&from, "checksum");
    if (e->code)
        return -1;
    if (checksum(object) != expected)
        return damaged(path, e);
    for (int i = 0; i < FIELDS && !e->code; i++)
        if (applies(&fields[i], d))
            read_field(&from, &fields[i], d);
    return e->code ? -1 : 0;
}

int store_parse(struct store_description *out, const char *text, size_t size, const char *path, struct err *e)
{
    struct store_description d = {0};
    json_t *object = json_parse_object(text, size, path, e);
    if (!object)
        return -1;
    int rc = read_object(&d, object, path, e);
    json_decref(object);
    if (rc)
        return rc;
    struct strbuf again;
    strbuf_init(&again);
    store_print(&d, &again);
    if (again.size != size || memcmp(again.data, text, size))
        rc = damaged(path, e);
    strbuf_release(&again);
    if (!rc)
        *out = d;
    return rc;
}

int store_describe(const char *directory, struct store_description *out, struct err *e)
{
    struct file_map map;
    char *path = file_join(directory, STORE_JSON);
    int rc;
    if (!file_exists(path)) {
        rc = err_set(e, ERR_INPUT, "%s: is no label store, it has no " STORE_JSON "; mode: precompute makes one",
                     directory);
    } else if (!(rc = file_map_open(&map, path, e))) {
        rc = store_parse(out, (const char *)map.data, map.size, path, e);
        file_map_close(&map);
    }
    mem_free(path);
    return rc;
}

/* --- comparing --- */

static bool equal(const struct store_description *a, const struct store_description *b, const struct field *f)
{
    struct strbuf x, y;
    strbuf_init(&x);
    strbuf_init(&y);
    put_value(&x, a, f);
    put_value(&y, b, f);
    const bool same = !strcmp(x.data, y.data);
    strbuf_release(&x);
    strbuf_release(&y);
    return same;
}

/* A fingerprint with the name that stands before it in the table. */
static void put_named(struct strbuf *out, const struct store_description *d, const struct field *f)
{
    put_value(out, d, f);
    if (f->type != TYPE_HASH || f->agreement != WRITERS)
        return;
    strbuf_adds(out, " of ");
    put_value(out, d, f - 1);
}

static int refuse(const char *directory, const struct store_description *there, const struct store_description *wanted,
                  const struct field *f, struct err *e)
{
    struct strbuf has, wants;
    strbuf_init(&has);
    strbuf_init(&wants);
    put_named(&has, there, f);
    put_named(&wants, wanted, f);
    const int rc = err_set(e, ERR_INPUT,
                           "%s: its labels were made with %s %s, the job has %s; use the job that they were made for, "
                           "or another labels.store",
                           directory, f->name, has.data, wants.data);
    strbuf_release(&has);
    strbuf_release(&wants);
    return rc;
}

int store_check(const char *directory, const struct store_description *there, const struct store_description *wanted,
                bool teacher, struct err *e)
{
    for (int i = 0; i < FIELDS; i++) {
        const struct field *f = &fields[i];
        const bool asked = f->agreement == ALL || (f->agreement == WRITERS && teacher);
        if (asked && applies(f, there) && !equal(there, wanted, f))
            return refuse(directory, there, wanted, f, e);
    }
    return 0;
}

/* --- making a store --- */

/* Texts come from paths, which may hold any bytes and may have been cut anywhere. */
static void make_valid(char *text, size_t size)
{
    struct strbuf repaired;
    strbuf_init(&repaired);
    utf8_append_repaired(&repaired, text, strlen(text));
    const size_t n = utf8_valid_prefix(repaired.data, repaired.size < size ? repaired.size : size - 1);
    memcpy(text, repaired.data, n);
    text[n] = 0;
    strbuf_release(&repaired);
}

static int make(const char *directory, const char *path, const struct store_description *d, struct err *e)
{
    struct store_description valid = *d;
    struct strbuf text;
    bool made;
    strbuf_init(&text);
    for (int i = 0; i < FIELDS; i++)
        if (fields[i].type == TYPE_TEXT)
            make_valid((char *)&valid + fields[i].offset, fields[i].size);
    store_print(&valid, &text);
    const int rc = file_make_directories(directory, e) || file_create(path, text.data, text.size, &made, e) ? -1 : 0;
    strbuf_release(&text);
    return rc;
}

int store_create(const char *directory, const struct store_description *d, struct err *e)
{
    struct store_description there;
    char *path = file_join(directory, STORE_JSON);
    int rc = file_exists(path) ? 0 : make(directory, path, d, e);
    mem_free(path);
    if (!rc && !store_describe(directory, &there, e))
        rc = store_check(directory, &there, d, true, e);
    return e->code ? -1 : rc;
}
