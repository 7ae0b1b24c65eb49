/* Any bytes as a tokenizer.json: refused, or it encodes and decodes any text. The text is the input's own end, so that
 * it has much to do with the vocabulary. */
#include <stdint.h>
#include <stdlib.h>

#include "fmt/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { TEXT_MAX = 48 }; /* a pattern may double its work with every character */

static void use(const struct tokenizer *t, const char *text, size_t size)
{
    struct token_list ids = {0};
    struct strbuf out;
    strbuf_init(&out);
    tokenizer_encode(t, text, size, &ids, NULL);
    for (size_t i = 0; i < ids.count; i++)
        if (ids.ids[i] >= tokenizer_size(t) || !tokenizer_piece(t, ids.ids[i]))
            abort();
    tokenizer_decode(t, ids.ids, ids.count, false, &out);
    tokenizer_decode(t, ids.ids, ids.count, true, &out);
    strbuf_release(&out);
    token_list_release(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct err e = {0};
    struct tokenizer *t;
    const char *text = (const char *)bytes;
    if (tokenizer_from_json(&t, text, size, "fuzz", &e)) {
        if (e.code != ERR_INPUT)
            abort();
        return 0;
    }
    size_t n = size < TEXT_MAX ? size : TEXT_MAX;
    use(t, text + size - n, n);
    use(t, text + size / 2, size - size / 2 < TEXT_MAX ? size - size / 2 : TEXT_MAX);
    if (tokenizer_compare(t, "a", t, "b", &e))
        abort();
    tokenizer_close(t);
    return 0;
}
