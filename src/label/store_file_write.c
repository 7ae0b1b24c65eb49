#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "fmt/safetensors.h"
#include "label/record.h"
#include "label/store_file_format.h"

struct store_writer {
    char *directory, *open_path, *sealed_path, *owner;
    int fd;
    uint64_t end; /* of the last record, padded, from the beginning of the file */
    struct store_entry *entries;
    int64_t count, room;
    unsigned char *buffer; /* [BUFFER]: the bytes before end that the file does not have yet */
    size_t buffered;
};

enum { BUFFER = 1 << 20 };

static int flush(struct store_writer *w, struct err *e)
{
    if (w->buffered && file_write_at(w->fd, w->open_path, w->buffer, w->buffered, w->end - w->buffered, e))
        return -1;
    w->buffered = 0;
    return 0;
}

/* A header that says whose file this is; no reader of .safetensors takes it for one. */
static int write_open_header(const struct store_writer *w, const char *path, struct err *e)
{
    struct safetensors_plan *plan = safetensors_plan_new();
    struct strbuf header;
    strbuf_init(&header);
    safetensors_plan_metadata(plan, STORE_OWNER, w->owner);
    safetensors_plan_reserve(plan, STORE_HEADER_BYTES);
    safetensors_plan_finish(plan, &header);
    const int rc = file_write_at(w->fd, path, header.data, header.size, 0, e);
    strbuf_release(&header);
    safetensors_plan_free(plan);
    return rc;
}

/* The file gets its name when it is locked and has its header: nobody ever sees an open file whose writer does not seem
 * to live. */
static int appear(struct store_writer *w, const char *hidden, struct err *e)
{
    if ((w->fd = open(hidden, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) < 0)
        return err_errno(e, "%s: cannot be made", w->open_path);
    flock(w->fd, LOCK_EX | LOCK_NB); /* of use to store_writer_lives() alone: what it says does not matter here */
    int rc = write_open_header(w, hidden, e);
    if (!rc && rename(hidden, w->open_path))
        rc = err_errno(e, "%s: cannot be made", w->open_path);
    if (rc)
        unlink(hidden);
    return rc ? -1 : file_sync_directory(w->directory, e);
}

static int make_file(struct store_writer *w, const char *name, struct err *e)
{
    for (int i = 0; i < 2; i++) {
        const char *path = i ? w->open_path : w->sealed_path;
        if (file_exists(path))
            return err_set(e, ERR_ENVIRONMENT, "%s: another writer has made this file", path);
    }
    char *hidden = mem_printf("%s/.%s", w->directory, name);
    const int rc = appear(w, hidden, e);
    mem_free(hidden);
    return rc;
}

int store_writer_new(struct store_writer **out, const char *directory, const char *name, const char *owner,
                     struct err *e)
{
    char *path = file_join(directory, name);
    struct store_writer *w = mem_alloc(sizeof *w);
    *w = (struct store_writer){.directory = mem_strdup(directory),
                               .open_path = mem_printf("%s" STORE_OPEN, path),
                               .sealed_path = mem_printf("%s" STORE_SEALED, path),
                               .owner = mem_strdup(owner),
                               .fd = -1,
                               .end = STORE_HEADER_BYTES,
                               .buffer = mem_alloc(BUFFER)};
    mem_free(path);
    if (make_file(w, name, e)) {
        store_writer_free(w);
        return -1;
    }
    *out = w;
    return 0;
}

bool store_writer_lives(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const bool locked = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    close(fd);
    return locked;
}

void store_writer_free(struct store_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0)
        close(w->fd);
    mem_free(w->directory);
    mem_free(w->open_path);
    mem_free(w->sealed_path);
    mem_free(w->owner);
    mem_free(w->entries);
    mem_free(w->buffer);
    mem_free(w);
}

uint64_t store_writer_bytes(const struct store_writer *w)
{
    return w->end - STORE_HEADER_BYTES;
}

static void remember(struct store_writer *w, uint64_t seq_id, size_t size)
{
    if (w->count == w->room) {
        w->room = w->room ? 2 * w->room : 256;
        w->entries = mem_resize(w->entries, (size_t)w->room, sizeof *w->entries);
    }
    w->entries[w->count++] = (struct store_entry){seq_id, w->end, size};
}

/* Bytes at the end of the file, by way of the buffer. */
static int put(struct store_writer *w, const void *bytes, size_t size, struct err *e)
{
    const unsigned char *from = bytes;
    while (size > 0) {
        const size_t n = size < BUFFER - w->buffered ? size : BUFFER - w->buffered;
        memcpy(w->buffer + w->buffered, from, n);
        w->buffered += n;
        w->end += n;
        from += n;
        size -= n;
        if (w->buffered == BUFFER && flush(w, e))
            return -1;
    }
    return 0;
}

int store_writer_append(struct store_writer *w, const void *record, size_t size, struct err *e)
{
    static const unsigned char zeros[STORE_ALIGN];
    struct record_info info;
    if (record_info(record, size, &info, e))
        return -1;
    remember(w, info.seq_id, size);
    return put(w, record, size, e) || put(w, zeros, store_padding(size), e) ? -1 : 0;
}

int store_writer_sync(struct store_writer *w, struct err *e)
{
    if (flush(w, e))
        return -1;
    return fdatasync(w->fd) ? err_errno(e, "%s: cannot be written to the disk", w->open_path) : 0;
}

/* --- sealing --- */

static void plan_header(const struct store_writer *w, uint64_t records, struct strbuf *header)
{
    struct safetensors_plan *plan = safetensors_plan_new();
    safetensors_plan_metadata(plan, "format", STORE_FILE_FORMAT);
    safetensors_plan_metadata(plan, STORE_OWNER, w->owner);
    safetensors_plan_add(plan, STORE_RECORDS, DTYPE_U8, 1, (const int64_t[]){(int64_t)records});
    safetensors_plan_add(plan, STORE_INDEX, DTYPE_U64, 2, (const int64_t[]){w->count, STORE_INDEX_WIDTH});
    safetensors_plan_add(plan, STORE_HASH, DTYPE_U64, 1, (const int64_t[]){1});
    safetensors_plan_reserve(plan, STORE_HEADER_BYTES);
    safetensors_plan_finish(plan, header);
    safetensors_plan_free(plan);
}

static int put_index(struct store_writer *w, struct err *e)
{
    for (int64_t i = 0; i < w->count; i++) {
        const uint64_t row[STORE_INDEX_WIDTH] = {w->entries[i].seq_id, w->entries[i].offset, w->entries[i].size};
        if (put(w, row, sizeof row, e))
            return -1;
    }
    return flush(w, e);
}

/* The header as it will be, then what stands behind it. */
static int hash_file(const struct store_writer *w, const struct strbuf *header, uint64_t *value, struct err *e)
{
    struct file_map map;
    if (file_map_open(&map, w->open_path, e))
        return -1;
    struct hash64 *h = hash64_new();
    hash64_add(h, header->data, header->size);
    hash64_add(h, map.data + STORE_HEADER_BYTES, map.size - STORE_HEADER_BYTES);
    *value = hash64_value(h);
    hash64_free(h);
    file_map_close(&map);
    return 0;
}

static int write_end(struct store_writer *w, const struct strbuf *header, struct err *e)
{
    uint64_t hash;
    if (put_index(w, e) || hash_file(w, header, &hash, e) || put(w, &hash, sizeof hash, e) || store_writer_sync(w, e))
        return -1;
    if (file_write_at(w->fd, w->open_path, header->data, header->size, 0, e) || store_writer_sync(w, e))
        return -1;
    if (rename(w->open_path, w->sealed_path))
        return err_errno(e, "%s: cannot be renamed to %s", w->open_path, file_name(w->sealed_path));
    return file_sync_directory(w->directory, e);
}

int store_writer_seal(struct store_writer *w, struct err *e)
{
    if (!w->count)
        return unlink(w->open_path) ? err_errno(e, "%s: cannot be removed", w->open_path) : 0;
    struct strbuf header;
    strbuf_init(&header);
    plan_header(w, store_writer_bytes(w), &header);
    const int rc = write_end(w, &header, e);
    strbuf_release(&header);
    return rc;
}
