#include "fmt/safetensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cursor.h"
#include "base/file.h"
#include "base/mem.h"
#include "fmt/json_fields.h"
#include "fmt/tensor_index.h"

enum { SIZE_BYTES = 8, HEADER_MAX = 100000000 }; /* the format's own limit on the header */

struct metadata {
    const char *key, *value;
};

struct safetensors {
    struct file_map map; /* zero if the bytes are the caller's */
    struct arena arena;  /* names, tensors, metadata */
    const char *path;
    const unsigned char *bytes;
    uint64_t size, data_start;
    struct tensor *tensors; /* in file order */
    int count;
    struct tensor_index index;
    struct metadata *metadata;
    int metadata_count;
};

/* A clone without `git lfs pull` has small text files in the place of weights: the commonest broken model there is. */
static bool is_lfs_pointer(const void *bytes, size_t size)
{
    static const char first[] = "version https://git-lfs";
    return size >= sizeof first - 1 && !memcmp(bytes, first, sizeof first - 1);
}

/* The JSON text between the size and the data. */
static int find_header(struct safetensors *s, const char **text, size_t *size, struct err *e)
{
    struct cursor c;
    cursor_init(&c, s->bytes, s->size);
    uint64_t n = cursor_u64(&c);
    if (is_lfs_pointer(s->bytes, s->size))
        return err_set(e, ERR_INPUT, "%s: a Git LFS pointer, not the file itself; fetch it with git lfs pull", s->path);
    if (!cursor_ok(&c))
        return err_set(e, ERR_INPUT, "%s: %llu bytes are too few for a safetensors file", s->path,
                       (unsigned long long)s->size);
    if (n > HEADER_MAX)
        return err_set(e, ERR_INPUT, "%s: not a safetensors file: a header of %llu bytes, at most %d are allowed",
                       s->path, (unsigned long long)n, HEADER_MAX);
    *text = cursor_bytes(&c, n);
    if (!*text)
        return err_set(e, ERR_INPUT,
                       "%s: the header of %llu bytes ends past the end of the file (%llu bytes): cut off?", s->path,
                       (unsigned long long)n, (unsigned long long)s->size);
    if (!n || **text != '{')
        return err_set(e, ERR_INPUT, "%s: not a safetensors file: the header does not begin with {", s->path);
    *size = n;
    s->data_start = SIZE_BYTES + n;
    return 0;
}

static int refuse_tensor(const struct safetensors *s, const struct tensor *t, const char *what, struct err *e)
{
    return err_set(e, ERR_INPUT, "%s: tensor %s: %s", s->path, t->name, what);
}

static int read_dtype(struct tensor *t, const char *name)
{
    for (int i = 0; name && i < DTYPE_COUNT; i++)
        if (dtype_block((enum dtype)i) == 1 && !strcmp(name, dtype_name((enum dtype)i))) {
            t->dtype = (enum dtype)i;
            return 0;
        }
    return -1;
}

static int refuse_dtype(struct safetensors *s, const struct tensor *t, const json_t *entry, struct err *e)
{
    struct strbuf known;
    strbuf_init(&known);
    for (int i = 0; i < DTYPE_COUNT; i++)
        if (dtype_block((enum dtype)i) == 1)
            strbuf_printf(&known, " %s", dtype_name((enum dtype)i));
    struct fields f = {entry, s->path, arena_printf(&s->arena, "tensor %s: ", t->name), e};
    fields_refuse(&f, "dtype", "retort reads%s", known.data);
    strbuf_release(&known);
    return -1;
}

/* Dimensions and their product; an empty list is a scalar. */
static int read_shape(const struct safetensors *s, struct tensor *t, const json_t *shape, struct err *e)
{
    if (!json_is_array(shape) || json_array_size(shape) > TENSOR_RANK_MAX)
        return refuse_tensor(s, t, "shape: expected a list of at most 8 dimensions", e);
    t->rank = (int)json_array_size(shape);
    t->elements = 1;
    for (int i = 0; i < t->rank; i++) {
        const json_t *d = json_array_get(shape, (size_t)i);
        t->shape[i] = json_integer_value(d);
        if (!json_is_integer(d) || t->shape[i] < 0)
            return refuse_tensor(s, t, "shape: a dimension is no integer from 0 up", e);
        if (__builtin_mul_overflow(t->elements, t->shape[i], &t->elements))
            return refuse_tensor(s, t, "shape: more elements than 64 bits can count", e);
    }
    return 0;
}

/* Lengths are compared, never sums: begin and end are whatever the file claims. */
static int read_offsets(const struct safetensors *s, struct tensor *t, const json_t *offsets, struct err *e)
{
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return refuse_tensor(s, t, "data_offsets: expected [begin, end] with 0 <= begin <= end", e);
    uint64_t first = (uint64_t)json_integer_value(begin), last = (uint64_t)json_integer_value(end), bytes;
    if (last > s->size - s->data_start)
        return err_set(e, ERR_INPUT, "%s: tensor %s ends at byte %llu of the data, the file holds only %llu: cut off?",
                       s->path, t->name, (unsigned long long)last, (unsigned long long)(s->size - s->data_start));
    if (!dtype_bytes(t->dtype, t->elements, &bytes) || bytes != last - first)
        return err_set(e, ERR_INPUT,
                       "%s: tensor %s: %lld elements of type %s do not take the %llu bytes of data_offsets", s->path,
                       t->name, (long long)t->elements, dtype_name(t->dtype), (unsigned long long)(last - first));
    t->bytes = bytes;
    t->offset = s->data_start + first;
    t->data = s->bytes + t->offset;
    return 0;
}

static int read_tensor(struct safetensors *s, struct tensor *t, const char *name, const json_t *entry, struct err *e)
{
    if (!tensor_name_ok(name, strlen(name)))
        return err_set(e, ERR_INPUT, "%s: a tensor's name is empty, longer than %d bytes or holds control characters",
                       s->path, TENSOR_NAME_MAX);
    t->name = arena_strdup(&s->arena, name);
    if (!json_is_object(entry) || json_object_size(entry) != 3)
        return refuse_tensor(s, t, "expected exactly dtype, shape and data_offsets", e);
    if (read_dtype(t, json_string_value(json_object_get(entry, "dtype"))))
        return refuse_dtype(s, t, entry, e);
    if (read_shape(s, t, json_object_get(entry, "shape"), e))
        return -1;
    return read_offsets(s, t, json_object_get(entry, "data_offsets"), e);
}

static int read_metadata(struct safetensors *s, json_t *object, struct err *e)
{
    if (!json_is_object(object))
        return err_set(e, ERR_INPUT, "%s: __metadata__: expected an object of strings", s->path);
    s->metadata = arena_alloc(&s->arena, json_object_size(object), sizeof *s->metadata);
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (!json_is_string(value))
            return err_set(e, ERR_INPUT, "%s: __metadata__: a value is no string", s->path);
        s->metadata[s->metadata_count++] =
            (struct metadata){arena_strdup(&s->arena, key), arena_strdup(&s->arena, json_string_value(value))};
    }
    return 0;
}

static int compare_places(const void *a, const void *b)
{
    const struct tensor *s = a, *t = b;
    if (s->offset != t->offset)
        return s->offset < t->offset ? -1 : 1;
    return s->bytes < t->bytes ? -1 : s->bytes > t->bytes; /* an empty tensor comes before the one that follows it */
}

/* The tensors fill the data, one after the other: no hole to hide bytes in, no byte in two tensors. */
static int check_layout(const struct safetensors *s, struct err *e)
{
    uint64_t at = s->data_start;
    for (int i = 0; i < s->count; i++) {
        const struct tensor *t = &s->tensors[i];
        if (t->offset < at)
            return refuse_tensor(s, t, "its bytes overlap those of another tensor", e);
        if (t->offset > at)
            return refuse_tensor(s, t, "before its bytes there is a hole that belongs to no tensor", e);
        at += t->bytes;
    }
    if (at != s->size)
        return err_set(e, ERR_INPUT, "%s: %llu bytes at the end belong to no tensor", s->path,
                       (unsigned long long)(s->size - at));
    return 0;
}

static int read_entries(struct safetensors *s, json_t *header, struct err *e)
{
    s->tensors = arena_alloc(&s->arena, json_object_size(header), sizeof *s->tensors);
    const char *name;
    json_t *entry;
    json_object_foreach(header, name, entry)
    {
        bool metadata = !strcmp(name, "__metadata__");
        if (metadata ? read_metadata(s, entry, e) : read_tensor(s, &s->tensors[s->count], name, entry, e))
            return -1;
        s->count += !metadata;
    }
    if (s->count)
        qsort(s->tensors, (size_t)s->count, sizeof *s->tensors, compare_places);
    tensor_index_init(&s->index, &s->arena, s->count);
    for (int i = 0; i < s->count; i++)
        tensor_index_add(&s->index, &s->tensors[i]);
    const char *twice = tensor_index_finish(&s->index);
    if (twice)
        return err_set(e, ERR_INPUT, "%s: tensor %s is there twice", s->path, twice);
    return check_layout(s, e);
}

/* The header without the spaces that pad it: a label store reserves 64 KiB, and the parser takes each byte by itself.
 */
static size_t unpadded(const char *text, size_t size)
{
    while (size && text[size - 1] == ' ')
        size--;
    return size;
}

static int read_file(struct safetensors *s, struct err *e)
{
    const char *text = NULL;
    size_t size = 0;
    if (find_header(s, &text, &size, e))
        return -1;
    json_t *header = json_parse_object(text, unpadded(text, size), s->path, e);
    if (!header)
        return -1;
    int rc = read_entries(s, header, e);
    json_decref(header);
    return rc;
}

int safetensors_parse(struct safetensors **out, const void *bytes, size_t size, const char *name, struct err *e)
{
    struct safetensors *s = mem_alloc(sizeof *s);
    arena_init(&s->arena);
    s->path = arena_strdup(&s->arena, name);
    s->bytes = bytes;
    s->size = size;
    if (read_file(s, e)) {
        safetensors_close(s);
        return -1;
    }
    *out = s;
    return 0;
}

int safetensors_open(struct safetensors **out, const char *path, struct err *e)
{
    struct file_map map = {0};
    if (file_map_open(&map, path, e))
        return -1;
    if (safetensors_parse(out, map.data, map.size, path, e)) {
        file_map_close(&map);
        return -1;
    }
    (*out)->map = map;
    return 0;
}

void safetensors_close(struct safetensors *s)
{
    if (!s)
        return;
    file_map_close(&s->map);
    arena_release(&s->arena);
    mem_free(s);
}

int safetensors_count(const struct safetensors *s)
{
    return s->count;
}

const struct tensor *safetensors_at(const struct safetensors *s, int i)
{
    return &s->tensors[i];
}

const struct tensor *safetensors_find(const struct safetensors *s, const char *name)
{
    return tensor_index_find(&s->index, name);
}

const char *safetensors_metadata(const struct safetensors *s, const char *key)
{
    for (int i = 0; i < s->metadata_count; i++)
        if (!strcmp(s->metadata[i].key, key))
            return s->metadata[i].value;
    return NULL;
}
