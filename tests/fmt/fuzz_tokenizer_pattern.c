/* Any line as a pattern of a tokenizer.json, matched against what follows it: refused, or matches stand in order,
 * inside the text and on whole characters. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fmt/tokenizer_pattern.h"
#include "fmt/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { TEXT_MAX = 200 };

static void walk(const struct pattern *p, const char *text, size_t size)
{
    struct pattern_memory *m = pattern_memory_new();
    struct pattern_walk w;
    size_t done = 0;
    pattern_walk_init(&w, p, m, text, size);
    while (pattern_walk_next(&w)) {
        if (w.start < done || w.end < w.start || w.end > size || utf8_valid_prefix(text, w.end) != w.end)
            abort();
        done = w.end;
    }
    pattern_memory_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct err e = {0};
    struct pattern *p;
    const uint8_t *end = size ? memchr(bytes, '\n', size) : NULL;
    size_t n = end ? (size_t)(end - bytes) : size;
    if (utf8_valid_prefix((const char *)bytes, n) != n || (n && memchr(bytes, 0, n)))
        return 0; /* JSON gives neither */
    char *source = mem_array(n + 1, 1);
    memcpy(source, bytes, n);
    if (pattern_compile(&p, source, "fuzz", &e) == 0) {
        struct strbuf text;
        strbuf_init(&text);
        size_t rest = size - n;
        utf8_append_repaired(&text, (const char *)bytes + n, rest < TEXT_MAX ? rest : TEXT_MAX);
        walk(p, text.data, text.size);
        strbuf_release(&text);
        pattern_free(p);
    } else if (e.code != ERR_INPUT) {
        abort();
    }
    mem_free(source);
    return 0;
}
