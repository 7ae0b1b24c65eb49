/* Any bytes as a GGUF file: refused, or every key can be read and every view lies inside the bytes; and its config. */
#include <stdint.h>
#include <stdlib.h>

#include "fmt/config.h"
#include "fmt/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Reads the first and the last byte, so that a sanitizer sees a view that reaches too far. */
static unsigned touch(const void *bytes, size_t size)
{
    const unsigned char *p = bytes;
    return size ? p[0] + (unsigned)p[size - 1] : 0;
}

static unsigned read_key(const struct gguf *g, const char *key)
{
    uint64_t count = 0, u = 0;
    int64_t i = 0;
    double f = 0;
    bool b = false;
    const char *text = NULL;
    size_t n = 0;
    unsigned sum = gguf_get_u64(g, key, &u) + (unsigned)gguf_get_f64(g, key, &f) + gguf_get_bool(g, key, &b);
    if (gguf_get_string(g, key, &text, &n))
        sum += touch(text, n);
    if (!gguf_get_array(g, key, &count))
        return sum;
    const uint64_t places[] = {0, 1, count / 2, count - 1, count, UINT64_MAX};
    for (size_t k = 0; k < sizeof places / sizeof places[0]; k++) {
        bool number = gguf_array_i64(g, key, places[k], &i) || gguf_array_f64(g, key, places[k], &f);
        if (gguf_array_string(g, key, places[k], &text, &n))
            sum += touch(text, n);
        if (number && places[k] >= count)
            abort();
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct err e = {0};
    struct gguf *g = NULL;
    if (gguf_parse(&g, bytes, size, "fuzz", &e)) {
        if (e.code != ERR_INPUT || g)
            abort();
        return 0;
    }
    static volatile unsigned sink;
    for (int i = 0; i < gguf_key_count(g); i++) {
        const char *kind = NULL;
        sink += read_key(g, gguf_key_at(g, i, &kind)) + touch(kind, 1);
    }
    for (int i = 0; i < gguf_tensor_count(g); i++) {
        const struct tensor *t = gguf_tensor_at(g, i);
        if (gguf_tensor_find(g, t->name) != t)
            abort();
        sink += touch(t->data, t->bytes);
    }
    struct model_config c;
    if (model_config_from_gguf(&c, g, "fuzz", &e) && e.code != ERR_INPUT)
        abort();
    gguf_close(g);
    return 0;
}
