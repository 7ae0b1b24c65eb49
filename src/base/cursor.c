#include "base/cursor.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian and read in place");

void cursor_init(struct cursor *c, const void *data, size_t size)
{
    c->at = data;
    c->end = size ? c->at + size : c->at;
    c->failed = false;
}

bool cursor_ok(const struct cursor *c)
{
    return !c->failed;
}

size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->at);
}

const void *cursor_bytes(struct cursor *c, uint64_t n)
{
    /* compare lengths, never pointers: at + n may wrap */
    if (c->failed || n > cursor_left(c)) {
        c->failed = true;
        return NULL;
    }
    const void *p = c->at;
    c->at += n;
    return p;
}

const void *cursor_array(struct cursor *c, uint64_t count, size_t size)
{
    uint64_t n;
    if (__builtin_mul_overflow(count, (uint64_t)size, &n)) {
        c->failed = true;
        return NULL;
    }
    return cursor_bytes(c, n);
}

static void read_number(struct cursor *c, void *v, size_t size)
{
    const void *p = cursor_bytes(c, size);
    if (p)
        memcpy(v, p, size);
}

#define CURSOR_NUMBER(type, name)     \
    type name(struct cursor *c)       \
    {                                 \
        type v = 0;                   \
        read_number(c, &v, sizeof v); \
        return v;                     \
    }
CURSOR_NUMBER(uint8_t, cursor_u8)
CURSOR_NUMBER(uint16_t, cursor_u16)
CURSOR_NUMBER(uint32_t, cursor_u32)
CURSOR_NUMBER(uint64_t, cursor_u64)
CURSOR_NUMBER(float, cursor_f32)
CURSOR_NUMBER(double, cursor_f64)
