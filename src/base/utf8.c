#include "base/utf8.h"

#include <string.h>

int utf8_measure(const char *text, size_t size)
{
    const unsigned char *p = (const unsigned char *)text;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return -1;
    int more = p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3;
    /* the second byte's range keeps out overlong forms, surrogates and what lies above U+10FFFF */
    unsigned low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    unsigned high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    for (int n = 1; n <= more; n++) {
        if ((size_t)n >= size || p[n] < low || p[n] > high)
            return -n;
        low = 0x80;
        high = 0xbf;
    }
    return more + 1;
}

static bool eight_ascii(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return !(word & 0x8080808080808080u);
}

size_t utf8_valid_prefix(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        if (size - at >= 8 && eight_ascii(text + at)) {
            at += 8;
            continue;
        }
        int n = utf8_measure(text + at, size - at);
        if (n < 0)
            break;
        at += (size_t)n;
    }
    return at;
}

bool utf8_is_valid(const char *text)
{
    size_t size = strlen(text);
    return utf8_valid_prefix(text, size) == size;
}

size_t utf8_append_repaired(struct strbuf *out, const char *text, size_t size)
{
    size_t replaced = 0;
    while (size) {
        size_t good = utf8_valid_prefix(text, size);
        strbuf_add(out, text, good);
        text += good;
        size -= good;
        if (!size)
            break;
        size_t bad = (size_t)-utf8_measure(text, size);
        strbuf_adds(out, "\xef\xbf\xbd");
        text += bad;
        size -= bad;
        replaced++;
    }
    return replaced;
}

uint32_t utf8_next(const char **at)
{
    const unsigned char *p = (const unsigned char *)*at;
    int more = p[0] < 0x80 ? 0 : p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3;
    uint32_t c = more ? p[0] & (0x3fu >> more) : p[0];
    for (int i = 1; i <= more; i++)
        c = c << 6 | (p[i] & 0x3f);
    *at += more + 1;
    return c;
}
