#include "conf/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"

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

/* What YAML does not take as it is, or would fold as a line break. */
static bool needs_escape(uint32_t c)
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
        uint32_t c = utf8_next(&text); /* what enters a job is checked to be UTF-8 */
        if (c == '\n')
            strbuf_adds(out, "\\n");
        else if (c == '"' || c == '\\')
            strbuf_printf(out, "\\%c", (char)c);
        else if (needs_escape(c))
            strbuf_printf(out, "\\u%04x", c);
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
