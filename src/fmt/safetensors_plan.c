/* The writing side of .safetensors: where each tensor goes, and the header that says so. */
#include "fmt/safetensors.h"

#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/mem.h"
#include "fmt/json_fields.h"
#include "fmt/tensor_index.h"

enum { DATA_ALIGN = 64 };

struct planned {
    const char *name;
    enum dtype dtype;
    int rank;
    int64_t shape[TENSOR_RANK_MAX];
    uint64_t begin, end; /* in the data */
};

struct safetensors_plan {
    struct arena arena; /* names */
    struct planned *tensors;
    int count, room;
    struct strbuf metadata; /* the members of __metadata__, as JSON */
    uint64_t data_bytes;
    uint64_t data_start; /* 0 until the plan is finished */
    size_t reserved;
};

struct safetensors_plan *safetensors_plan_new(void)
{
    struct safetensors_plan *p = mem_alloc(sizeof *p);
    arena_init(&p->arena);
    strbuf_init(&p->metadata);
    return p;
}

void safetensors_plan_free(struct safetensors_plan *p)
{
    if (!p)
        return;
    strbuf_release(&p->metadata);
    arena_release(&p->arena);
    mem_free(p->tensors);
    mem_free(p);
}

void safetensors_plan_metadata(struct safetensors_plan *p, const char *key, const char *value)
{
    ASSERT(!p->data_start);
    if (p->metadata.size)
        strbuf_addc(&p->metadata, ',');
    json_put_text(&p->metadata, key, strlen(key));
    strbuf_addc(&p->metadata, ':');
    json_put_text(&p->metadata, value, strlen(value));
}

int safetensors_plan_add(struct safetensors_plan *p, const char *name, enum dtype dtype, int rank, const int64_t *shape)
{
    ASSERT(!p->data_start && rank >= 0 && rank <= TENSOR_RANK_MAX && dtype_block(dtype) == 1);
    ASSERT(tensor_name_ok(name, strlen(name)));
    if (p->count == p->room) {
        p->room = p->room ? 2 * p->room : 64;
        p->tensors = mem_resize(p->tensors, (size_t)p->room, sizeof *p->tensors);
    }
    struct planned *t = &p->tensors[p->count];
    *t = (struct planned){.name = arena_strdup(&p->arena, name), .dtype = dtype, .rank = rank, .begin = p->data_bytes};
    int64_t elements = 1;
    for (int i = 0; i < rank; i++) {
        t->shape[i] = shape[i];
        ASSERT(shape[i] >= 0 && !__builtin_mul_overflow(elements, shape[i], &elements));
    }
    uint64_t bytes = 0;
    ASSERT(dtype_bytes(dtype, elements, &bytes));
    p->data_bytes += bytes;
    t->end = p->data_bytes;
    return p->count++;
}

static void put_tensor(struct strbuf *out, const struct planned *t)
{
    json_put_text(out, t->name, strlen(t->name));
    strbuf_printf(out, ":{\"dtype\":\"%s\",\"shape\":[", dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++)
        strbuf_printf(out, "%s%lld", i ? "," : "", (long long)t->shape[i]);
    strbuf_printf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)t->begin, (unsigned long long)t->end);
}

void safetensors_plan_reserve(struct safetensors_plan *p, size_t header_size)
{
    ASSERT(header_size % DATA_ALIGN == 0);
    p->reserved = header_size;
}

void safetensors_plan_finish(struct safetensors_plan *p, struct strbuf *header)
{
    uint64_t size = 0;
    size_t start = header->size;
    strbuf_add(header, &size, sizeof size);
    strbuf_addc(header, '{');
    if (p->metadata.size)
        strbuf_printf(header, "\"__metadata__\":{%s}%s", p->metadata.data, p->count ? "," : "");
    for (int i = 0; i < p->count; i++) {
        if (i)
            strbuf_addc(header, ',');
        put_tensor(header, &p->tensors[i]);
    }
    strbuf_addc(header, '}');
    while ((header->size - start) % DATA_ALIGN || header->size - start < p->reserved)
        strbuf_addc(header, ' ');
    ASSERT(!p->reserved || header->size - start == p->reserved);
    p->data_start = header->size - start;
    size = p->data_start - sizeof size;
    memcpy(header->data + start, &size, sizeof size); /* little-endian: cursor.c asserts that the machine is */
}

uint64_t safetensors_plan_offset(const struct safetensors_plan *p, int index)
{
    ASSERT(p->data_start && index >= 0 && index < p->count);
    return p->data_start + p->tensors[index].begin;
}

uint64_t safetensors_plan_size(const struct safetensors_plan *p)
{
    ASSERT(p->data_start);
    return p->data_start + p->data_bytes;
}
