/* A store's file over any bytes, as a sealed and as an open one: an error, or a file whose records lie inside it. An
 * input is the header's JSON up to the first newline, without its padding, then what stands behind the header. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "label/store_file_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(const struct store_file *f, size_t size)
{
    struct err e = {0};
    for (int64_t i = 0; i < store_file_count(f); i++) {
        const struct store_entry entry = store_file_entry(f, i);
        if (entry.offset > size || entry.size > size - entry.offset) {
            fprintf(stderr, "a record lies outside the file\n");
            abort();
        }
    }
    store_file_verify(f, &e);
    err_clear(&e);
}

static void read_file(const unsigned char *bytes, size_t size)
{
    for (int sealed = 0; sealed <= 1; sealed++) {
        struct err e = {0};
        struct store_file *f;
        if (!store_file_parse(&f, bytes, size, sealed, "fuzzed", &e)) {
            check(f, size);
            store_file_close(f);
        }
        err_clear(&e);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const uint64_t json_room = STORE_HEADER_BYTES - sizeof json_room;
    const unsigned char *newline = size ? memchr(bytes, '\n', size) : NULL;
    const size_t json = newline ? (size_t)(newline - bytes) : size, rest = newline ? size - json - 1 : 0;
    read_file(bytes, size);
    if (json > json_room)
        return 0;
    unsigned char *file = mem_alloc(STORE_HEADER_BYTES + rest);
    memset(file, ' ', STORE_HEADER_BYTES);
    memcpy(file, &json_room, sizeof json_room);
    memcpy(file + sizeof json_room, bytes, json);
    if (rest)
        memcpy(file + STORE_HEADER_BYTES, newline + 1, rest);
    read_file(file, STORE_HEADER_BYTES + rest);
    mem_free(file);
    return 0;
}
