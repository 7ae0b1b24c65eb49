/* Any bytes as an adapter_config.json: refused, or what was read can be written and read again. */
#include "fmt/adapter_config.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct err e = {0};
    struct adapter_config c, again;
    if (adapter_config_parse(&c, (const char *)bytes, size, "fuzz", &e)) {
        if (e.code != ERR_INPUT)
            abort();
        return 0;
    }
    struct strbuf text;
    strbuf_init(&text);
    adapter_config_to_json(&c, NULL, &text);
    if (adapter_config_parse(&again, text.data, text.size, "again", &e) || again.rank != c.rank ||
        again.alpha != c.alpha || again.target_count != c.target_count)
        abort();
    adapter_config_release(&again);
    adapter_config_release(&c);
    strbuf_release(&text);
    return 0;
}
