#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "fmt/json_fields.h"
#include "label/store_file_format.h"
#include "label/store_internal.h"

/* --- numbers of writers --- */

/* The largest number that was ever taken; 0: none. */
static int last_number(const struct store_names *n)
{
    long last = 0;
    for (int i = 0; i < n->count; i++) {
        const long number = strtol(n->names[i] + strlen(STORE_WRITER), NULL, 10);
        last = number > last ? number : last;
    }
    return (int)last;
}

static int take_number(const char *directory, int number, const char *owner, bool *made, struct err *e)
{
    char *path = mem_printf("%s/" STORE_WRITER "%06d.json", directory, number);
    struct strbuf text;
    strbuf_init(&text);
    strbuf_adds(&text, "{\"owner\": ");
    json_put_text(&text, owner, strlen(owner));
    strbuf_adds(&text, "}\n");
    const int rc = file_create(path, text.data, text.size, made, e);
    strbuf_release(&text);
    mem_free(path);
    return rc;
}

int store_join(const char *directory, const char *owner, int *generation, struct err *e)
{
    struct store_names names;
    bool made = false;
    if (store_names_read(&names, directory, STORE_WRITER, e))
        return -1;
    int number = last_number(&names);
    store_names_release(&names);
    while (!made)
        if (take_number(directory, ++number, owner, &made, e))
            return -1;
    *generation = number;
    return 0;
}

/* --- appending --- */

struct store_append {
    char *directory, *owner;
    int generation, replica, files;
    uint64_t most;
    struct store_writer *writer; /* NULL: the next record opens a file */
    struct err failed;           /* why nothing can be written any more */
};

int store_append_new(struct store_append **out, const char *directory, int generation, int replica, const char *owner,
                     uint64_t most, struct err *e)
{
    if (!file_is_directory(directory))
        return err_set(e, ERR_INPUT, "%s: is no label store", directory);
    *out = mem_alloc(sizeof **out);
    **out = (struct store_append){.directory = mem_strdup(directory),
                                  .owner = mem_strdup(owner),
                                  .generation = generation,
                                  .replica = replica,
                                  .most = most};
    return 0;
}

/* After a write that failed the file ends somewhere: what was synced stays, and nothing may follow it. */
static int finish(struct store_append *a, int rc, struct err *e)
{
    if (rc && e->code == ERR_ENVIRONMENT)
        a->failed = *e;
    return rc;
}

static int refuse_failed(const struct store_append *a, struct err *e)
{
    return a->failed.code ? err_set(e, a->failed.code, "%s", a->failed.text) : 0;
}

static int open_file(struct store_append *a, struct err *e)
{
    char *name = mem_printf(STORE_LABELS "%06d-%04d-%04d", a->generation, a->replica, a->files);
    const int rc = store_writer_new(&a->writer, a->directory, name, a->owner, e);
    mem_free(name);
    a->files += !rc;
    return rc;
}

static int seal(struct store_append *a, struct err *e)
{
    if (!a->writer)
        return 0;
    if (store_writer_seal(a->writer, e))
        return -1;
    store_writer_free(a->writer);
    a->writer = NULL;
    return 0;
}

static int append(struct store_append *a, const void *record, size_t size, struct err *e)
{
    const uint64_t there = a->writer ? store_writer_bytes(a->writer) : 0;
    if (there && there + size + store_padding(size) > a->most && seal(a, e))
        return -1;
    if (!a->writer && open_file(a, e))
        return -1;
    return store_writer_append(a->writer, record, size, e);
}

int store_append(struct store_append *a, const void *record, size_t size, struct err *e)
{
    return refuse_failed(a, e) ? -1 : finish(a, append(a, record, size, e), e);
}

int store_append_sync(struct store_append *a, struct err *e)
{
    if (refuse_failed(a, e))
        return -1;
    return a->writer ? finish(a, store_writer_sync(a->writer, e), e) : 0;
}

int store_append_seal(struct store_append *a, struct err *e)
{
    return refuse_failed(a, e) ? -1 : finish(a, seal(a, e), e);
}

void store_append_free(struct store_append *a)
{
    if (!a)
        return;
    store_writer_free(a->writer);
    mem_free(a->directory);
    mem_free(a->owner);
    mem_free(a);
}
