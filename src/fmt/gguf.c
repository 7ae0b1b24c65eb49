#include "fmt/gguf.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fmt/gguf_internal.h"

enum { MAGIC = 0x46554747, RANK_MAX = 4, DEFAULT_ALIGNMENT = 32 };
enum { TENSOR_BYTES_MIN = 8 + 1 + 4 + 8 + 4 + 8 }; /* name, rank, one dimension, type, offset */

/* ggml's numbers of element types. Those that retort does not read have a name here only to be refused by it. */
static const struct ggml_type {
    const char *name;
    bool known;
    enum dtype dtype;
} ggml_types[] = {
    [0] = {"F32", true, DTYPE_F32},
    [1] = {"F16", true, DTYPE_F16},
    [2] = {"Q4_0", true, DTYPE_Q4_0},
    [3] = {"Q4_1", true, DTYPE_Q4_1},
    [6] = {.name = "Q5_0"},
    [7] = {.name = "Q5_1"},
    [8] = {"Q8_0", true, DTYPE_Q8_0},
    [9] = {.name = "Q8_1"},
    [10] = {.name = "Q2_K"},
    [11] = {.name = "Q3_K"},
    [12] = {"Q4_K", true, DTYPE_Q4_K},
    [13] = {.name = "Q5_K"},
    [14] = {"Q6_K", true, DTYPE_Q6_K},
    [15] = {.name = "Q8_K"},
    [16] = {.name = "IQ2_XXS"},
    [17] = {.name = "IQ2_XS"},
    [18] = {.name = "IQ3_XXS"},
    [19] = {.name = "IQ1_S"},
    [20] = {.name = "IQ4_NL"},
    [21] = {.name = "IQ3_S"},
    [22] = {.name = "IQ2_S"},
    [23] = {.name = "IQ4_XS"},
    [24] = {"I8", true, DTYPE_I8},
    [25] = {"I16", true, DTYPE_I16},
    [26] = {"I32", true, DTYPE_I32},
    [27] = {"I64", true, DTYPE_I64},
    [28] = {"F64", true, DTYPE_F64},
    [29] = {.name = "IQ1_M"},
    [30] = {"BF16", true, DTYPE_BF16},
    [34] = {.name = "TQ1_0"},
    [35] = {.name = "TQ2_0"},
    [39] = {.name = "MXFP4"},
};
enum { GGML_TYPES = sizeof ggml_types / sizeof ggml_types[0] };

static int refuse_tensor(const struct gguf *g, const struct tensor *t, const char *what, struct err *e)
{
    return err_set(e, ERR_INPUT, "%s: tensor %s: %s", g->path, t->name, what);
}

static int read_type(const struct gguf *g, struct tensor *t, uint32_t type, struct err *e)
{
    const struct ggml_type *known = type < GGML_TYPES ? &ggml_types[type] : NULL;
    if (known && known->known) {
        t->dtype = known->dtype;
        return 0;
    }
    const char *readable =
        "retort reads F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K and Q6_K: convert the model to one of these";
    if (known && known->name)
        return err_set(e, ERR_INPUT, "%s: tensor %s: type %s is not read; %s", g->path, t->name, known->name, readable);
    return err_set(e, ERR_INPUT, "%s: tensor %s: unknown type %u; %s", g->path, t->name, type, readable);
}

/* The file lists dimensions fastest first. */
static int read_dimensions(const struct gguf *g, struct tensor *t, struct cursor *c, struct err *e)
{
    uint32_t rank = cursor_u32(c);
    if (cursor_ok(c) && (rank < 1 || rank > RANK_MAX))
        return err_set(e, ERR_INPUT, "%s: tensor %s: %u dimensions, expected 1 to %d", g->path, t->name, rank,
                       RANK_MAX);
    t->rank = (int)rank;
    t->elements = 1;
    for (int i = t->rank; cursor_ok(c) && i-- > 0;) {
        uint64_t d = cursor_u64(c);
        if (d > INT64_MAX || __builtin_mul_overflow(t->elements, (int64_t)d, &t->elements))
            return refuse_tensor(g, t, "more elements than 64 bits can count", e);
        t->shape[i] = (int64_t)d;
    }
    return 0;
}

static int read_tensor(struct gguf *g, struct tensor *t, struct cursor *c, struct err *e)
{
    t->name = gguf_read_name(g, c);
    if (!t->name)
        return err_set(e, ERR_INPUT, "%s: tensor %d: its name is cut off, too long or not text", g->path,
                       g->tensor_count);
    if (read_dimensions(g, t, c, e))
        return -1;
    uint32_t type = cursor_u32(c);
    t->offset = cursor_u64(c); /* from the beginning of the data, until place_tensors */
    if (!cursor_ok(c))
        return refuse_tensor(g, t, "the file ends inside its description: cut off?", e);
    if (read_type(g, t, type, e))
        return -1;
    if (t->shape[t->rank - 1] % dtype_block(t->dtype) || !dtype_bytes(t->dtype, t->elements, &t->bytes))
        return err_set(e, ERR_INPUT, "%s: tensor %s: rows of %lld elements are no whole blocks of type %s", g->path,
                       t->name, (long long)t->shape[t->rank - 1], dtype_name(t->dtype));
    return 0;
}

static int read_tensors(struct gguf *g, struct cursor *c, uint64_t count, struct err *e)
{
    if (count > cursor_left(c) / TENSOR_BYTES_MIN || count > INT_MAX)
        return err_set(e, ERR_INPUT, "%s: %llu tensors cannot lie in %zu bytes: cut off, or not a GGUF file", g->path,
                       (unsigned long long)count, cursor_left(c));
    g->tensors = arena_alloc(&g->arena, count, sizeof *g->tensors);
    for (; (uint64_t)g->tensor_count < count; g->tensor_count++)
        if (read_tensor(g, &g->tensors[g->tensor_count], c, e))
            return -1;
    tensor_index_init(&g->index, &g->arena, g->tensor_count);
    for (int i = 0; i < g->tensor_count; i++)
        tensor_index_add(&g->index, &g->tensors[i]);
    const char *twice = tensor_index_finish(&g->index);
    return twice ? err_set(e, ERR_INPUT, "%s: tensor %s is there twice", g->path, twice) : 0;
}

static int read_alignment(const struct gguf *g, uint64_t *alignment, struct err *e)
{
    static const char key[] = "general.alignment";
    *alignment = DEFAULT_ALIGNMENT;
    if (!gguf_has(g, key))
        return 0;
    if (!gguf_get_u64(g, key, alignment) || !*alignment || *alignment > UINT32_MAX || (*alignment & (*alignment - 1)))
        return err_set(e, ERR_INPUT, "%s: key %s: expected a power of two", g->path, key);
    return 0;
}

static int compare_places(const void *a, const void *b)
{
    const struct tensor *const *s = a, *const *t = b;
    if ((*s)->offset != (*t)->offset)
        return (*s)->offset < (*t)->offset ? -1 : 1;
    return (*s)->bytes < (*t)->bytes ? -1 : (*s)->bytes > (*t)->bytes;
}

static int check_overlap(const struct gguf *g, struct err *e)
{
    size_t n = (size_t)g->tensor_count;
    const struct tensor **by_place = mem_array(n, sizeof *by_place);
    for (size_t i = 0; i < n; i++)
        by_place[i] = &g->tensors[i];
    if (n)
        qsort(by_place, n, sizeof *by_place, compare_places);
    int rc = 0;
    uint64_t end = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        if (by_place[i]->offset < end)
            rc = refuse_tensor(g, by_place[i], "its bytes overlap those of another tensor", e);
        end = by_place[i]->offset + by_place[i]->bytes;
    }
    mem_free(by_place);
    return rc;
}

/* Offsets in the file count from the aligned end of the descriptions. */
static int place_tensors(struct gguf *g, const unsigned char *bytes, uint64_t size, uint64_t described, struct err *e)
{
    uint64_t alignment;
    if (read_alignment(g, &alignment, e))
        return -1;
    uint64_t start = (described + alignment - 1) / alignment * alignment;
    uint64_t room = size > start ? size - start : 0;
    for (int i = 0; i < g->tensor_count; i++) {
        struct tensor *t = &g->tensors[i];
        if (t->offset % alignment)
            return refuse_tensor(g, t, "its offset is not aligned", e);
        if (t->offset > room || t->bytes > room - t->offset)
            return err_set(e, ERR_INPUT,
                           "%s: tensor %s: %llu bytes at %llu of the data end past the end of the file: cut off?",
                           g->path, t->name, (unsigned long long)t->bytes, (unsigned long long)t->offset);
        t->offset += start;
        t->data = bytes + (room ? t->offset : 0);
    }
    return check_overlap(g, e);
}

static int read_file(struct gguf *g, const void *bytes, size_t size, struct err *e)
{
    struct cursor c;
    cursor_init(&c, bytes, size);
    uint32_t magic = cursor_u32(&c), version = cursor_u32(&c);
    uint64_t tensors = cursor_u64(&c), keys = cursor_u64(&c);
    if (size < sizeof magic || magic != MAGIC)
        return err_set(e, ERR_INPUT,
                       "%s: not a GGUF file (it does not begin with GGUF); a model is a Hugging Face directory "
                       "or a GGUF file",
                       g->path);
    if (!cursor_ok(&c))
        return err_set(e, ERR_INPUT, "%s: %zu bytes are too few for a GGUF file: cut off?", g->path, size);
    if (version != 2 && version != 3)
        return err_set(e, ERR_INPUT, "%s: GGUF version %u%s; retort reads 2 and 3, little-endian", g->path, version,
                       version & 0xffff ? "" : " (big-endian?)");
    if (gguf_read_metadata(g, &c, keys, e) || read_tensors(g, &c, tensors, e))
        return -1;
    return place_tensors(g, bytes, size, (uint64_t)(c.at - (const unsigned char *)bytes), e);
}

int gguf_parse(struct gguf **out, const void *bytes, size_t size, const char *name, struct err *e)
{
    struct gguf *g = mem_alloc(sizeof *g);
    arena_init(&g->arena);
    g->path = arena_strdup(&g->arena, name);
    if (read_file(g, bytes, size, e)) {
        gguf_close(g);
        return -1;
    }
    *out = g;
    return 0;
}

int gguf_open(struct gguf **out, const char *path, struct err *e)
{
    struct file_map map = {0};
    if (file_map_open(&map, path, e))
        return -1;
    if (gguf_parse(out, map.data, map.size, path, e)) {
        file_map_close(&map);
        return -1;
    }
    (*out)->map = map;
    return 0;
}

void gguf_close(struct gguf *g)
{
    if (!g)
        return;
    file_map_close(&g->map);
    arena_release(&g->arena);
    mem_free(g);
}

int gguf_tensor_count(const struct gguf *g)
{
    return g->tensor_count;
}

const struct tensor *gguf_tensor_at(const struct gguf *g, int i)
{
    return &g->tensors[i];
}

const struct tensor *gguf_tensor_find(const struct gguf *g, const char *name)
{
    return tensor_index_find(&g->index, name);
}
