#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

enum { ALIGN = 64, CHUNK = 1 << 18 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t used, size; /* both count this header's ALIGN bytes */
};

void arena_init(struct arena *a)
{
    a->chunks = NULL;
    a->bytes = 0;
}

void arena_release(struct arena *a)
{
    for (struct arena_chunk *c = a->chunks; c;) {
        struct arena_chunk *next = c->next;
        mem_free_large(c, c->size);
        c = next;
    }
    arena_init(a);
}

static struct arena_chunk *new_chunk(size_t need)
{
    size_t size = need > CHUNK - ALIGN ? need + ALIGN : CHUNK;
    struct arena_chunk *c = mem_try(size);
    if (c) {
        c->used = ALIGN;
        c->size = size;
    }
    return c;
}

void *arena_try(struct arena *a, size_t count, size_t size)
{
    size_t need;
    if (__builtin_mul_overflow(count, size, &need) || need > SIZE_MAX - 2 * ALIGN)
        return NULL;
    need = (need + ALIGN - 1) / ALIGN * ALIGN;
    struct arena_chunk *c = a->chunks;
    if (!c || need > c->size - c->used) {
        struct arena_chunk *fresh = new_chunk(need);
        if (!fresh)
            return NULL;
        /* a block of its own must not hide the room that is left in the newest chunk */
        if (c && fresh->size != CHUNK) {
            fresh->next = c->next;
            c->next = fresh;
        } else {
            fresh->next = c;
            a->chunks = fresh;
        }
        c = fresh;
    }
    void *p = (char *)c + c->used;
    c->used += need;
    a->bytes += need;
    return p;
}

void *arena_alloc(struct arena *a, size_t count, size_t size)
{
    void *p = arena_try(a, count, size);
    if (!p)
        mem_exhausted(count * size);
    return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    char *copy = arena_alloc(a, n + 1, 1);
    memcpy(copy, s, n);
    return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    ASSERT(n >= 0);
    char *s = arena_alloc(a, (size_t)n + 1, 1);
    vsnprintf(s, (size_t)n + 1, format, again);
    va_end(again);
    return s;
}
