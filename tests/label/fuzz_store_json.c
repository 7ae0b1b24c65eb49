/* store.json of any bytes: an error, or a description that is written as those bytes. A mutation rarely hits the
 * checksum, so each input is read a second time with the right one. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "label/store_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void read_text(const char *text, size_t size)
{
    struct store_description d;
    struct strbuf again;
    struct err e = {0};
    if (store_parse(&d, text, size, "fuzzed", &e))
        return;
    strbuf_init(&again);
    store_print(&d, &again);
    if (again.size != size || memcmp(again.data, text, size)) {
        fprintf(stderr, "read, but written otherwise\n");
        abort();
    }
    strbuf_release(&again);
}

static void set_checksum(json_t *object)
{
    char hex[17];
    json_object_del(object, "checksum");
    char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)hash64(text, strlen(text)));
    json_object_set_new(object, "checksum", json_string(hex));
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    read_text((const char *)bytes, size);
    json_t *object = json_loadb((const char *)bytes, size, 0, NULL);
    if (json_is_object(object)) {
        set_checksum(object);
        char *text =
            json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(15)); /* nearly as store.json is laid out */
        struct strbuf file;
        strbuf_init(&file);
        strbuf_printf(&file, "%s\n", text);
        read_text(file.data, file.size);
        strbuf_release(&file);
        free(text);
    }
    json_decref(object);
    return 0;
}
