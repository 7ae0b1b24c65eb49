#include "fmt/tensor_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void tensor_index_init(struct tensor_index *x, struct arena *a, int room)
{
    x->by_name = arena_alloc(a, (size_t)room, sizeof *x->by_name);
    x->count = 0;
    x->room = room;
}

void tensor_index_add(struct tensor_index *x, const struct tensor *t)
{
    ASSERT(x->count < x->room);
    x->by_name[x->count++] = t;
}

static int compare_names(const void *a, const void *b)
{
    const struct tensor *const *s = a, *const *t = b;
    return strcmp((*s)->name, (*t)->name);
}

const char *tensor_index_finish(struct tensor_index *x)
{
    if (x->count)
        qsort(x->by_name, (size_t)x->count, sizeof *x->by_name, compare_names);
    for (int i = 1; i < x->count; i++)
        if (!strcmp(x->by_name[i - 1]->name, x->by_name[i]->name))
            return x->by_name[i]->name;
    return NULL;
}

const struct tensor *tensor_index_find(const struct tensor_index *x, const char *name)
{
    int low = 0, high = x->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        int order = strcmp(name, x->by_name[middle]->name);
        if (!order)
            return x->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

bool tensor_name_ok(const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return size >= 1 && size <= TENSOR_NAME_MAX;
}

void tensor_shape_text(char *text, size_t room, int rank, const int64_t *shape)
{
    size_t n = (size_t)snprintf(text, room, "[");
    for (int i = 0; i < rank && n < room; i++)
        n += (size_t)snprintf(text + n, room - n, "%s%lld", i ? ", " : "", (long long)shape[i]);
    if (n < room)
        snprintf(text + n, room - n, "]");
}
