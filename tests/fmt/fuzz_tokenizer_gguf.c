/* Any bytes as a GGUF with a tokenizer: refused, or it encodes these very bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "fmt/gguf.h"
#include "fmt/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct err e = {0};
    struct gguf *g;
    struct tokenizer *t;
    struct token_list ids = {0};
    if (gguf_parse(&g, bytes, size, "fuzz", &e))
        return 0;
    if (tokenizer_from_gguf(&t, g, "fuzz", &e)) {
        if (e.code != ERR_INPUT)
            abort();
    } else {
        tokenizer_encode(t, (const char *)bytes, size, &ids, NULL);
        for (size_t i = 0; i < ids.count; i++)
            if (!tokenizer_piece(t, ids.ids[i]))
                abort();
        token_list_release(&ids);
        tokenizer_close(t);
    }
    gguf_close(g);
    return 0;
}
