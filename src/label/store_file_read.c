#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "fmt/safetensors.h"
#include "label/record.h"
#include "label/record_format.h"
#include "label/store_file_format.h"

struct store_file {
    char *name; /* in errors */
    struct file_map map;
    bool mapped;
    const unsigned char *bytes;
    uint64_t size;
    bool sealed;
    char *owner;
    struct store_entry *entries;
    int64_t count, room;
    uint64_t rest;
};

static void add_entry(struct store_file *f, struct store_entry entry)
{
    if (f->count == f->room) {
        f->room = f->room ? 2 * f->room : 256;
        f->entries = mem_resize(f->entries, (size_t)f->room, sizeof *f->entries);
    }
    f->entries[f->count++] = entry;
}

/* --- an open file: whatever its writer has come to --- */

/* The owner's name is there for people: a header that cannot be read costs nothing else. */
static void read_open_header(struct store_file *f)
{
    struct safetensors *header;
    struct err ignored = {0};
    const size_t size = f->size < STORE_HEADER_BYTES ? (size_t)f->size : STORE_HEADER_BYTES;
    if (safetensors_parse(&header, f->bytes, size, f->name, &ignored)) {
        err_clear(&ignored);
        return;
    }
    const char *owner = safetensors_metadata(header, STORE_OWNER);
    if (owner)
        f->owner = mem_strdup(owner);
    safetensors_close(header);
}

/* The whole record at offset, or false. */
static bool next_record(const struct store_file *f, uint64_t offset, struct store_entry *entry)
{
    struct record_info info;
    struct err ignored = {0};
    const uint64_t left = f->size - offset;
    uint64_t body;
    if (left < RECORD_HEADER_BYTES || memcmp(f->bytes + offset, RECORD_MAGIC, sizeof RECORD_MAGIC - 1))
        return false;
    memcpy(&body, f->bytes + offset + RECORD_BODY_OFFSET, sizeof body);
    if (body > left - RECORD_HEADER_BYTES)
        return false;
    *entry = (struct store_entry){.offset = offset, .size = RECORD_HEADER_BYTES + body};
    if (record_info(f->bytes + offset, (size_t)entry->size, &info, &ignored)) {
        err_clear(&ignored);
        return false;
    }
    entry->seq_id = info.seq_id;
    return true;
}

/* Damage costs the record that it hit, not those behind it: they begin at the alignment, and have checksums. */
static void scan(struct store_file *f)
{
    struct store_entry entry;
    read_open_header(f);
    for (uint64_t at = STORE_HEADER_BYTES, step; at < f->size; at += step) {
        const bool whole = next_record(f, at, &entry);
        const uint64_t left = f->size - at;
        if (whole)
            add_entry(f, entry);
        step = whole ? entry.size + store_padding(entry.size) : STORE_ALIGN;
        step = step < left ? step : left;
        f->rest += whole ? 0 : step;
    }
}

/* --- a sealed file: all or nothing --- */

static int damaged(const struct store_file *f, struct err *e, const char *what)
{
    return err_set(e, ERR_INPUT, "%s: %s; the file is damaged: move it away, and what it held will be labelled again",
                   f->name, what);
}

static const struct tensor *tensor_of(const struct safetensors *s, int i, const char *name, enum dtype dtype, int rank)
{
    const struct tensor *t = i < safetensors_count(s) ? safetensors_at(s, i) : NULL;
    return t && !strcmp(t->name, name) && t->dtype == dtype && t->rank == rank ? t : NULL;
}

/* Records stand where the one before them ends. */
static int read_index(struct store_file *f, const struct tensor *records, const struct tensor *index, struct err *e)
{
    uint64_t at = STORE_HEADER_BYTES;
    const uint64_t end = records->offset + records->bytes;
    for (int64_t i = 0; i < index->shape[0]; i++) {
        uint64_t row[STORE_INDEX_WIDTH];
        memcpy(row, index->data + (size_t)i * sizeof row, sizeof row);
        if (row[1] != at || row[2] < RECORD_HEADER_BYTES || row[2] > end - at ||
            store_padding(row[2]) > end - at - row[2])
            return damaged(f, e, "its index does not fit its records");
        add_entry(f, (struct store_entry){row[0], row[1], row[2]});
        at += row[2] + store_padding(row[2]);
    }
    return at == end ? 0 : damaged(f, e, "its index does not fit its records");
}

static int read_tensors(struct store_file *f, const struct safetensors *s, struct err *e)
{
    const char *format = safetensors_metadata(s, "format"), *owner = safetensors_metadata(s, STORE_OWNER);
    if (!format || strcmp(format, STORE_FILE_FORMAT))
        return err_set(e, ERR_INPUT, "%s: holds no labels of format \"%s\"", f->name, STORE_FILE_FORMAT);
    f->owner = mem_strdup(owner ? owner : "");
    const struct tensor *records = tensor_of(s, 0, STORE_RECORDS, DTYPE_U8, 1);
    const struct tensor *index = tensor_of(s, 1, STORE_INDEX, DTYPE_U64, 2);
    const struct tensor *hash = tensor_of(s, 2, STORE_HASH, DTYPE_U64, 1);
    if (!records || !index || !hash || safetensors_count(s) != 3 || records->offset != STORE_HEADER_BYTES ||
        index->shape[1] != STORE_INDEX_WIDTH || hash->shape[0] != 1)
        return damaged(f, e, "its tensors are not those of a label store");
    return read_index(f, records, index, e);
}

static int read_sealed(struct store_file *f, struct err *e)
{
    struct safetensors *s;
    if (safetensors_parse(&s, f->bytes, (size_t)f->size, f->name, e))
        return -1;
    const int rc = read_tensors(f, s, e);
    safetensors_close(s);
    return rc;
}

/* --- both --- */

static int read_file(struct store_file *f, struct err *e)
{
    if (f->sealed)
        return read_sealed(f, e);
    scan(f);
    return 0;
}

int store_file_parse(struct store_file **out, const void *bytes, size_t size, bool sealed, const char *name,
                     struct err *e)
{
    struct store_file *f = mem_alloc(sizeof *f);
    *f = (struct store_file){.name = mem_strdup(name), .bytes = bytes, .size = size, .sealed = sealed};
    if (read_file(f, e)) {
        store_file_close(f);
        return -1;
    }
    *out = f;
    return 0;
}

int store_file_open(struct store_file **out, const char *path, struct err *e)
{
    struct file_map map;
    if (file_map_open(&map, path, e))
        return -1;
    if (store_file_parse(out, map.data, map.size, file_ends_in(path, STORE_SEALED), path, e)) {
        file_map_close(&map);
        return -1;
    }
    (*out)->map = map;
    (*out)->mapped = true;
    return 0;
}

void store_file_close(struct store_file *f)
{
    if (!f)
        return;
    if (f->mapped)
        file_map_close(&f->map);
    mem_free(f->name);
    mem_free(f->owner);
    mem_free(f->entries);
    mem_free(f);
}

bool store_file_sealed(const struct store_file *f)
{
    return f->sealed;
}

const char *store_file_owner(const struct store_file *f)
{
    return f->owner ? f->owner : "";
}

int64_t store_file_count(const struct store_file *f)
{
    return f->count;
}

struct store_entry store_file_entry(const struct store_file *f, int64_t i)
{
    return f->entries[i];
}

uint64_t store_file_rest(const struct store_file *f)
{
    return f->rest;
}

const void *store_file_record(const struct store_file *f, int64_t i)
{
    return f->bytes + f->entries[i].offset;
}

/* --- verifying --- */

static int verify_record(const struct store_file *f, int64_t i, struct err *e)
{
    static const unsigned char zeros[STORE_ALIGN];
    const struct store_entry *entry = &f->entries[i];
    const unsigned char *at = f->bytes + entry->offset;
    struct record_info info;
    if (record_info(at, (size_t)entry->size, &info, e)) {
        err_prefix(e, "%s", f->name);
        return -1;
    }
    if (info.seq_id != entry->seq_id)
        return damaged(f, e, "its index names another sequence than the record");
    /* an open file may end before the padding does */
    const uint64_t behind = f->size - entry->offset - entry->size, padding = store_padding(entry->size);
    if (memcmp(at + entry->size, zeros, (size_t)(padding < behind ? padding : behind)))
        return damaged(f, e, "there is something between its records");
    return 0;
}

int store_file_verify(const struct store_file *f, struct err *e)
{
    for (int64_t i = 0; i < f->count; i++)
        if (verify_record(f, i, e))
            return -1;
    if (!f->sealed)
        return 0;
    uint64_t expected;
    const size_t before = (size_t)f->size - sizeof expected;
    memcpy(&expected, f->bytes + before, sizeof expected);
    return hash64(f->bytes, before) == expected ? 0 : damaged(f, e, "its hash does not match its bytes");
}
