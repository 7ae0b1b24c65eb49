#include "label/label.h"

#include "base/mem.h"

const char *label_kind_name(enum label_kind kind)
{
    static const char *const names[] = {"sampled", "random", "top_k", "hidden"};
    return names[kind];
}

const char *label_values_name(enum label_values values)
{
    static const char *const names[] = {"u8", "f16", "f32"};
    return names[values];
}

void label_set_release(struct label_set *s)
{
    mem_free_large(s->memory, s->memory_size);
    *s = (struct label_set){0};
}
