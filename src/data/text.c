#include "data/text.h"

#include <stdbool.h>
#include <stdint.h>

#include "base/utf8.h"

/* str.isspace(): bidirectional type WS, B or S, or category Zs. */
static bool is_space(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } spaces[] = {{0x09, 0x0d},     {0x1c, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},     {0x1680, 0x1680},
                  {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};
    for (size_t i = 0; i < sizeof spaces / sizeof spaces[0]; i++)
        if (c >= spaces[i].first && c <= spaces[i].last)
            return true;
    return false;
}

/* The bytes of the white space at the beginning of text, or 0. */
static size_t space_at(const char *text, size_t size)
{
    int n = size ? utf8_measure(text, size) : 0;
    const char *at = text;
    return n > 0 && is_space(utf8_next(&at)) ? (size_t)n : 0;
}

static size_t space_before(const char *text, size_t size)
{
    size_t n = 1;
    while (n < size && n < 4 && ((unsigned char)text[size - n] & 0xc0) == 0x80)
        n++;
    return size && space_at(text + size - n, n) == n ? n : 0;
}

const char *text_trim(const char *text, size_t *size)
{
    for (size_t n; (n = space_at(text, *size)); *size -= n)
        text += n;
    for (size_t n; (n = space_before(text, *size));)
        *size -= n;
    return text;
}
