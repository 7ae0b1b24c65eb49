#include "data/text.h"

#include <stdint.h>
#include <string.h>

/* The range of the second byte, which depends on the first (Unicode, table 3-7): it shuts out overlong forms,
 * surrogates and what lies beyond U+10FFFF. */
static void second_byte(unsigned char first, unsigned char *low, unsigned char *high)
{
    *low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    *high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
}

static size_t sequence_length(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return 2;
    if (first >= 0xe0 && first <= 0xef)
        return 3;
    return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

size_t text_sequence(const char *text, size_t size, size_t *skip)
{
    const unsigned char *s = (const unsigned char *)text;
    const size_t length = sequence_length(s[0]);
    unsigned char low, high;
    second_byte(s[0], &low, &high);
    size_t good = 1;
    while (good < length && good < size && s[good] >= low && s[good] <= high) {
        good++;
        low = 0x80;
        high = 0xbf;
    }
    if (good == length)
        return length;
    *skip = good; /* the beginning of a sequence that breaks off counts as one */
    return 0;
}

bool text_is_utf8(const char *text, size_t size)
{
    size_t skip;
    for (size_t i = 0, n; i < size; i += n) {
        n = text_sequence(text + i, size - i, &skip);
        if (!n)
            return false;
    }
    return true;
}

size_t text_repair(const char *text, size_t size, struct strbuf *out)
{
    size_t replaced = 0;
    for (size_t i = 0; i < size;) {
        size_t skip = 0, n = text_sequence(text + i, size - i, &skip);
        if (n)
            strbuf_add(out, text + i, n);
        else
            strbuf_adds(out, "\xef\xbf\xbd");
        replaced += n ? 0 : skip;
        i += n ? n : skip;
    }
    return replaced;
}

/* The code point of a well-formed sequence. */
static uint32_t code_point(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    static const unsigned char lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = s[0] & lead_bits[n];
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (s[i] & 0x3f);
    return c;
}

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
    size_t skip, n = size ? text_sequence(text, size, &skip) : 0;
    return n && is_space(code_point(text, n)) ? n : 0;
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
