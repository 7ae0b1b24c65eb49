#include "conf/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Paths and names of ordinary letters. What could be a number, null, true or YAML syntax is quoted. */
static bool reads_as_plain(const char *text)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n", "auto"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcasecmp(text, words[i]))
            return false;
    const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.-";
    return *text && !strchr(".-", *text) && !is_digit(*text) && text[strspn(text, letters)] == 0;
}

/* The character at *text, which moves past it; -1 if the bytes are not UTF-8 (overlong forms and surrogates are not).
 */
static int32_t next_character(const char **text)
{
    static const int32_t least[4] = {0, 0x80, 0x800, 0x10000};
    const unsigned char *at = (const unsigned char *)*text;
    int more = *at < 0x80 ? 0 : *at >> 5 == 6 ? 1 : *at >> 4 == 14 ? 2 : *at >> 3 == 30 ? 3 : -1;
    if (more < 0)
        return -1;
    int32_t c = more ? *at & (0x3f >> more) : *at;
    for (int i = 1; i <= more; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return -1;
        c = c << 6 | (at[i] & 0x3f);
    }
    if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return -1;
    *text += more + 1;
    return c;
}

bool yaml_is_utf8(const char *text)
{
    while (*text)
        if (next_character(&text) < 0)
            return false;
    return true;
}

/* What YAML does not take as it is, or would fold as a line break. */
static bool needs_escape(int32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff || c == 0xfffe ||
           c == 0xffff;
}

void yaml_put_text(struct strbuf *out, const char *text)
{
    if (reads_as_plain(text)) {
        strbuf_adds(out, text);
        return;
    }
    strbuf_addc(out, '"');
    while (*text) {
        const char *from = text;
        int32_t c = next_character(&text);
        if (c < 0)
            text++; /* cannot be: what enters a job is checked; keep the byte rather than lose it */
        if (c == '\n')
            strbuf_adds(out, "\\n");
        else if (c == '"' || c == '\\')
            strbuf_printf(out, "\\%c", (char)c);
        else if (c >= 0 && needs_escape(c))
            strbuf_printf(out, "\\u%04x", (unsigned)c);
        else
            strbuf_add(out, from, (size_t)(text - from));
    }
    strbuf_addc(out, '"');
}

void yaml_put_number(struct strbuf *out, double value)
{
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    strbuf_adds(out, text);
}

char *path_resolve(struct arena *arena, const char *directory, const char *path)
{
    char *joined = file_join(directory, path);
    char *absolute = file_absolute(joined);
    char *clean = arena_alloc(arena, strlen(absolute) + 2, 1);
    char *end = clean;
    for (const char *part = absolute; *part;) {
        size_t n = strcspn(part, "/");
        if (n && !(n == 1 && *part == '.')) {
            *end++ = '/';
            memcpy(end, part, n);
            end += n;
        }
        part += n + (part[n] == '/');
    }
    if (end == clean)
        *end++ = '/';
    mem_free(absolute);
    mem_free(joined);
    return clean;
}
