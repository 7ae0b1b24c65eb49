#include "base/strbuf.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

static char empty[1];

void strbuf_init(struct strbuf *s)
{
    s->data = empty;
    s->size = s->room = 0;
}

void strbuf_release(struct strbuf *s)
{
    if (s->room)
        mem_free(s->data);
    strbuf_init(s);
}

void strbuf_clear(struct strbuf *s)
{
    s->size = 0;
    if (s->room)
        s->data[0] = 0;
}

void strbuf_reserve(struct strbuf *s, size_t more)
{
    ASSERT(more < SIZE_MAX / 2 - s->size);
    size_t need = s->size + more + 1;
    if (need <= s->room)
        return;
    size_t room = s->room ? s->room : 32;
    while (room < need)
        room *= 2;
    s->data = mem_resize(s->room ? s->data : NULL, room, 1);
    s->room = room;
    s->data[s->size] = 0;
}

void strbuf_add(struct strbuf *s, const void *bytes, size_t n)
{
    if (!n)
        return;
    strbuf_reserve(s, n);
    memcpy(s->data + s->size, bytes, n);
    s->size += n;
    s->data[s->size] = 0;
}

void strbuf_adds(struct strbuf *s, const char *text)
{
    strbuf_add(s, text, strlen(text));
}

void strbuf_addc(struct strbuf *s, char c)
{
    strbuf_add(s, &c, 1);
}

void strbuf_vprintf(struct strbuf *s, const char *format, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    ASSERT(n >= 0);
    strbuf_reserve(s, (size_t)n);
    vsnprintf(s->data + s->size, (size_t)n + 1, format, again);
    s->size += (size_t)n;
    va_end(again);
}

void strbuf_printf(struct strbuf *s, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    strbuf_vprintf(s, format, ap);
    va_end(ap);
}

char *strbuf_detach(struct strbuf *s)
{
    strbuf_reserve(s, 0);
    char *data = s->data;
    strbuf_init(s);
    return data;
}
