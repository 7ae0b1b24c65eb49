/* Any bytes as a config.json: refused, or what was read can be written and read again. */
#include <stdint.h>
#include <stdlib.h>

#include "fmt/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct err e = {0};
    struct model_config c, again;
    if (model_config_from_json(&c, (const char *)bytes, size, "fuzz", &e)) {
        if (e.code != ERR_INPUT)
            abort();
        return 0;
    }
    struct strbuf text;
    strbuf_init(&text);
    model_config_to_json(&c, "float32", &text);
    if (model_config_from_json(&again, text.data, text.size, "again", &e) || again.heads != c.heads ||
        again.rope_theta != c.rope_theta || again.sliding_window != c.sliding_window)
        abort();
    model_config_describe(&c, &text);
    strbuf_release(&text);
    return 0;
}
