/* Any bytes as a .safetensors file: refused, or every view lies inside the bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "fmt/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct err e = {0};
    struct safetensors *s = NULL;
    if (safetensors_parse(&s, bytes, size, "fuzz", &e)) {
        if (e.code != ERR_INPUT || s)
            abort();
        return 0;
    }
    for (int i = 0; i < safetensors_count(s); i++) {
        const struct tensor *t = safetensors_at(s, i);
        if (t->offset > size || t->bytes > size - t->offset || safetensors_find(s, t->name) != t)
            abort();
    }
    safetensors_metadata(s, "format");
    safetensors_close(s);
    return 0;
}
