/* The typed keys of a GGUF file. Values stay in the map; only keys and, for lists of strings, places are kept. */
#include "fmt/gguf_internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *array_name;
    size_t size; /* 0: not of one size */
} kinds[GGUF_KINDS] = {
    [GGUF_U8] = {"u8", "array of u8", 1},
    [GGUF_I8] = {"i8", "array of i8", 1},
    [GGUF_U16] = {"u16", "array of u16", 2},
    [GGUF_I16] = {"i16", "array of i16", 2},
    [GGUF_U32] = {"u32", "array of u32", 4},
    [GGUF_I32] = {"i32", "array of i32", 4},
    [GGUF_F32] = {"f32", "array of f32", 4},
    [GGUF_BOOL] = {"bool", "array of bool", 1},
    [GGUF_STRING] = {"string", "array of string", 0},
    [GGUF_ARRAY] = {"array", "array of array", 0},
    [GGUF_U64] = {"u64", "array of u64", 8},
    [GGUF_I64] = {"i64", "array of i64", 8},
    [GGUF_F64] = {"f64", "array of f64", 8},
};

/* The least that one takes in the file: a count that cannot fit is refused before anything is allocated for it. */
enum { STRING_BYTES_MIN = 8, ENTRY_BYTES_MIN = 8 + 1 + 4 + 1 };

const char *gguf_read_name(struct gguf *g, struct cursor *c)
{
    uint64_t size = cursor_u64(c);
    const char *text = cursor_bytes(c, size);
    if (!text || !tensor_name_ok(text, size) || memchr(text, 0, size))
        return NULL;
    return arena_strndup(&g->arena, text, size);
}

static bool skip_strings(struct gguf *g, struct gguf_entry *entry, struct cursor *c)
{
    if (entry->count > cursor_left(c) / STRING_BYTES_MIN)
        return false;
    uint64_t *starts = arena_alloc(&g->arena, entry->count, sizeof *starts);
    for (uint64_t i = 0; i < entry->count; i++) {
        starts[i] = (uint64_t)(c->at - entry->values);
        cursor_bytes(c, cursor_u64(c));
    }
    entry->starts = starts;
    return cursor_ok(c);
}

/* A bool is a byte of 0 or 1; any other value means that the reader and the writer disagree about where they are. */
static bool bools_ok(const struct gguf_entry *entry)
{
    for (uint64_t i = 0; i < entry->count; i++)
        if (entry->values[i] > 1)
            return false;
    return true;
}

static int refuse_key(const struct gguf *g, const char *key, const char *what, struct err *e)
{
    return err_set(e, ERR_INPUT, "%s: key %s: %s", g->path, key, what);
}

static int read_entry(struct gguf *g, struct gguf_entry *entry, struct cursor *c, struct err *e)
{
    entry->key = gguf_read_name(g, c);
    if (!entry->key)
        return err_set(e, ERR_INPUT, "%s: metadata: the name of a key is cut off, too long or not text", g->path);
    uint32_t kind = cursor_u32(c);
    entry->count = 1;
    if (kind == GGUF_ARRAY) {
        entry->is_array = true;
        kind = cursor_u32(c);
        entry->count = cursor_u64(c);
    }
    if (!cursor_ok(c))
        return refuse_key(g, entry->key, "the file ends inside it: cut off?", e);
    if (kind >= GGUF_KINDS || kind == GGUF_ARRAY)
        return refuse_key(g, entry->key, kind == GGUF_ARRAY ? "arrays of arrays are not read" : "unknown type", e);
    entry->kind = (enum gguf_kind)kind;
    entry->values = c->at;
    if (kind == GGUF_STRING ? !skip_strings(g, entry, c) : !cursor_array(c, entry->count, kinds[kind].size))
        return refuse_key(g, entry->key, "its value ends past the end of the file: cut off, or an absurd count", e);
    if (kind == GGUF_BOOL && !bools_ok(entry))
        return refuse_key(g, entry->key, "a bool is neither 0 nor 1", e);
    return 0;
}

static int compare_keys(const void *a, const void *b)
{
    const struct gguf_entry *const *s = a, *const *t = b;
    return strcmp((*s)->key, (*t)->key);
}

static int index_keys(struct gguf *g, struct err *e)
{
    size_t n = (size_t)g->entry_count;
    g->by_key = arena_alloc(&g->arena, n, sizeof *g->by_key);
    for (size_t i = 0; i < n; i++)
        g->by_key[i] = &g->entries[i];
    if (n)
        qsort(g->by_key, n, sizeof *g->by_key, compare_keys);
    for (size_t i = 1; i < n; i++)
        if (!strcmp(g->by_key[i - 1]->key, g->by_key[i]->key))
            return refuse_key(g, g->by_key[i]->key, "is there twice", e);
    return 0;
}

int gguf_read_metadata(struct gguf *g, struct cursor *c, uint64_t count, struct err *e)
{
    if (count > cursor_left(c) / ENTRY_BYTES_MIN || count > INT_MAX)
        return err_set(e, ERR_INPUT, "%s: %llu metadata keys cannot lie in %zu bytes: cut off, or not a GGUF file",
                       g->path, (unsigned long long)count, cursor_left(c));
    g->entries = arena_alloc(&g->arena, count, sizeof *g->entries);
    for (; (uint64_t)g->entry_count < count; g->entry_count++)
        if (read_entry(g, &g->entries[g->entry_count], c, e))
            return -1;
    return index_keys(g, e);
}

static const struct gguf_entry *find_key(const struct gguf *g, const char *key)
{
    struct gguf_entry wanted = {.key = key};
    const struct gguf_entry *pointer = &wanted;
    const struct gguf_entry **found =
        g->entry_count ? bsearch(&pointer, g->by_key, (size_t)g->entry_count, sizeof pointer, compare_keys) : NULL;
    return found ? *found : NULL;
}

/* The entry if it is a single value (or an array with an element i), else NULL. */
static const struct gguf_entry *find_value(const struct gguf *g, const char *key, bool is_array, uint64_t i)
{
    const struct gguf_entry *entry = find_key(g, key);
    return entry && entry->is_array == is_array && i < entry->count ? entry : NULL;
}

/* Element i as a signed integer; false for floats, strings, bools and a u64 above the range. */
static bool entry_i64(const struct gguf_entry *entry, uint64_t i, int64_t *value)
{
    struct cursor c;
    size_t size = kinds[entry->kind].size;
    cursor_init(&c, entry->values + i * size, size);
    switch (entry->kind) {
    case GGUF_U8:
        *value = cursor_u8(&c);
        return true;
    case GGUF_I8:
        *value = (int8_t)cursor_u8(&c);
        return true;
    case GGUF_U16:
        *value = cursor_u16(&c);
        return true;
    case GGUF_I16:
        *value = (int16_t)cursor_u16(&c);
        return true;
    case GGUF_U32:
        *value = cursor_u32(&c);
        return true;
    case GGUF_I32:
        *value = (int32_t)cursor_u32(&c);
        return true;
    case GGUF_I64:
        *value = (int64_t)cursor_u64(&c);
        return true;
    case GGUF_U64: {
        uint64_t v = cursor_u64(&c);
        if (v > INT64_MAX)
            return false;
        *value = (int64_t)v;
        return true;
    }
    default:
        return false;
    }
}

static bool entry_f64(const struct gguf_entry *entry, uint64_t i, double *value)
{
    struct cursor c;
    size_t size = kinds[entry->kind].size;
    cursor_init(&c, entry->values + i * size, size);
    if (entry->kind == GGUF_F32)
        *value = (double)cursor_f32(&c);
    else if (entry->kind == GGUF_F64)
        *value = cursor_f64(&c);
    else
        return false;
    return true;
}

static bool entry_string(const struct gguf_entry *entry, uint64_t i, const char **text, size_t *size)
{
    if (entry->kind != GGUF_STRING)
        return false;
    uint64_t n;
    memcpy(&n, entry->values + entry->starts[i], sizeof n);
    *size = n;
    *text = (const char *)entry->values + entry->starts[i] + sizeof n;
    return true;
}

bool gguf_has(const struct gguf *g, const char *key)
{
    return find_key(g, key) != NULL;
}

bool gguf_get_u64(const struct gguf *g, const char *key, uint64_t *value)
{
    const struct gguf_entry *entry = find_value(g, key, false, 0);
    int64_t v;
    if (!entry)
        return false;
    if (entry->kind == GGUF_U64) {
        memcpy(value, entry->values, sizeof *value);
        return true;
    }
    if (!entry_i64(entry, 0, &v) || v < 0)
        return false;
    *value = (uint64_t)v;
    return true;
}

bool gguf_get_f64(const struct gguf *g, const char *key, double *value)
{
    const struct gguf_entry *entry = find_value(g, key, false, 0);
    return entry && entry_f64(entry, 0, value);
}

bool gguf_get_bool(const struct gguf *g, const char *key, bool *value)
{
    const struct gguf_entry *entry = find_value(g, key, false, 0);
    if (!entry || entry->kind != GGUF_BOOL)
        return false;
    *value = entry->values[0];
    return true;
}

bool gguf_get_string(const struct gguf *g, const char *key, const char **text, size_t *size)
{
    const struct gguf_entry *entry = find_value(g, key, false, 0);
    return entry && entry_string(entry, 0, text, size);
}

bool gguf_get_array(const struct gguf *g, const char *key, uint64_t *count)
{
    const struct gguf_entry *entry = find_key(g, key);
    if (!entry || !entry->is_array)
        return false;
    *count = entry->count;
    return true;
}

bool gguf_array_string(const struct gguf *g, const char *key, uint64_t i, const char **text, size_t *size)
{
    const struct gguf_entry *entry = find_value(g, key, true, i);
    return entry && entry_string(entry, i, text, size);
}

bool gguf_array_i64(const struct gguf *g, const char *key, uint64_t i, int64_t *value)
{
    const struct gguf_entry *entry = find_value(g, key, true, i);
    return entry && entry_i64(entry, i, value);
}

bool gguf_array_f64(const struct gguf *g, const char *key, uint64_t i, double *value)
{
    const struct gguf_entry *entry = find_value(g, key, true, i);
    return entry && entry_f64(entry, i, value);
}

int gguf_key_count(const struct gguf *g)
{
    return g->entry_count;
}

const char *gguf_key_at(const struct gguf *g, int i, const char **kind)
{
    const struct gguf_entry *entry = &g->entries[i];
    *kind = entry->is_array ? kinds[entry->kind].array_name : kinds[entry->kind].name;
    return entry->key;
}
