#include "fmt/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/assert.h"
#include "base/mem.h"
#include "fmt/unicode_tables.h"

const char *utf8_previous(const char *end)
{
    do
        end--;
    while (((unsigned char)*end & 0xc0) == 0x80);
    return end;
}

void utf8_append(struct strbuf *out, uint32_t c)
{
    utf8proc_uint8_t bytes[4];
    strbuf_add(out, bytes, (size_t)utf8proc_encode_char((utf8proc_int32_t)c, bytes));
}

bool utf8_is_one(const char *text, size_t size, uint32_t *c)
{
    if (!size || utf8_valid_prefix(text, size) != size)
        return false;
    const char *at = text;
    *c = utf8_next(&at);
    return at == text + size;
}

bool unicode_is_space(uint32_t c)
{
    if (c < 0x80)
        return c == ' ' || (c >= '\t' && c <= '\r');
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

enum { NEWER = sizeof newer_characters / sizeof *newer_characters };
enum { UNKNOWN = sizeof unknown_to_nfc / sizeof *unknown_to_nfc };

const struct unicode_range *unicode_newer(size_t *count)
{
    *count = NEWER;
    return newer_characters;
}

static int in_range(const void *key, const void *element)
{
    uint32_t c = *(const uint32_t *)key;
    const struct unicode_range *r = element;
    return c < r->first ? -1 : c > r->last;
}

static bool is_newer_word(uint32_t c)
{
    const struct unicode_range *r = bsearch(&c, newer_characters, NEWER, sizeof *newer_characters, in_range);
    return r && (strchr("LM", *r->category) || !strcmp(r->category, "Nd") || !strcmp(r->category, "Nl"));
}

bool unicode_is_word(uint32_t c)
{
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        if (is_newer_word(c))
            return true;
        /* letters by use, not by category (Other_Alphabetic), and the two joiners */
        return (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
               (c >= 0x1f170 && c <= 0x1f189) || c == 0x200c || c == 0x200d;
    }
}

/* Characters that the normaliser leaves alone, whatever stands beside them. */
static bool is_inert(uint32_t c)
{
    return bsearch(&c, unknown_to_nfc, UNKNOWN, sizeof *unknown_to_nfc, in_range) ||
           bsearch(&c, newer_characters, NEWER, sizeof *newer_characters, in_range);
}

/* Characters that are their own composition and never join what stands before them: text may be cut in front of one. */
static bool starts_afresh(uint32_t c)
{
    return c < 0x300 || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x4e00 && c <= 0x9fff) || is_inert(c);
}

/* The composition of one stretch, by utf8proc. */
static void compose(struct strbuf *out, const char *text, size_t size)
{
    enum { ON_STACK = 512 };
    const utf8proc_option_t how = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    utf8proc_int32_t few[ON_STACK], *c = few;
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text;
    utf8proc_ssize_t n = utf8proc_decompose(bytes, (utf8proc_ssize_t)size, few, ON_STACK, how);
    ASSERT(n >= 0); /* it can only complain of ill-formed text or of a length beyond memory */
    if (n > ON_STACK) {
        c = mem_array((size_t)n, sizeof *c);
        utf8proc_decompose(bytes, (utf8proc_ssize_t)size, c, n, how);
    }
    n = utf8proc_normalize_utf32(c, n, how);
    for (utf8proc_ssize_t i = 0; i < n; i++)
        utf8_append(out, (uint32_t)c[i]);
    if (c != few)
        mem_free(c);
}

/* Where the stretch begins that the character at here belongs to: the one before may take it in. */
static const char *composing_from(const char *kept, const char *here)
{
    const char *before = here > kept ? utf8_previous(here) : here, *at = before;
    return before < here && is_inert(utf8_next(&at)) ? here : before;
}

void unicode_append_nfc(struct strbuf *out, const char *text, size_t size)
{
    const char *at = text, *end = text + size, *kept = text;
    while (at < end) {
        const char *here = at;
        if (starts_afresh(utf8_next(&at)))
            continue;
        const char *from = composing_from(kept, here);
        for (here = at; at < end && !starts_afresh(utf8_next(&at));)
            here = at;
        strbuf_add(out, kept, (size_t)(from - kept));
        compose(out, from, (size_t)(here - from));
        kept = at = here;
    }
    strbuf_add(out, kept, (size_t)(end - kept));
}
