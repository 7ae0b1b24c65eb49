#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "data/corpus_file.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is mapped as it lies, so host and file must agree");

enum { FLUSH_BYTES = 1 << 20, ALIGNMENT = 8 };

struct corpus_writer {
    char *path, *temporary;
    int fd;
    struct corpus_header header;
    uint64_t offset;       /* where the next byte goes, what waits in `pending` included */
    struct strbuf pending; /* not yet written */
    struct hash64 *body;
    uint64_t *index; /* [sequences] */
    int64_t count, room;
};

uint32_t corpus_header_crc(const struct corpus_header *h)
{
    struct corpus_header copy = *h;
    copy.header_crc = 0;
    return crc32c(0, &copy, sizeof copy);
}

static void writer_free(struct corpus_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    strbuf_release(&w->pending);
    hash64_free(w->body);
    mem_free(w->index);
    mem_free(w->path);
    mem_free(w->temporary);
    mem_free(w);
}

int corpus_writer_open(struct corpus_writer **out, const char *path, uint64_t key, int sequence_length, struct err *e)
{
    struct corpus_writer *w = mem_alloc(sizeof *w);
    w->path = mem_strdup(path);
    w->temporary = mem_printf("%s.tmp.%ld", path, (long)getpid());
    w->body = hash64_new();
    strbuf_init(&w->pending);
    w->header = (struct corpus_header){
        .magic = CORPUS_MAGIC, .version = CORPUS_VERSION, .sequence_length = (uint32_t)sequence_length, .key = key};
    w->offset = sizeof w->header;
    w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->fd < 0) {
        err_errno(e, "%s: cannot create", w->temporary);
        writer_free(w);
        return -1;
    }
    *out = w;
    return 0;
}

static int flush(struct corpus_writer *w, struct err *e)
{
    hash64_add(w->body, w->pending.data, w->pending.size);
    int rc = file_write_at(w->fd, w->temporary, w->pending.data, w->pending.size, w->offset - w->pending.size, e);
    strbuf_clear(&w->pending);
    return rc;
}

static void put(struct corpus_writer *w, const void *bytes, size_t size)
{
    strbuf_add(&w->pending, bytes, size);
    w->offset += size;
}

static void put_index(struct corpus_writer *w)
{
    if (w->count == w->room) {
        w->room = w->room ? 2 * w->room : 1024;
        w->index = mem_resize(w->index, (size_t)w->room, sizeof *w->index);
    }
    w->index[w->count++] = w->offset;
}

int corpus_writer_add(struct corpus_writer *w, const struct sequence *s, struct err *e)
{
    const uint64_t split = sequence_split(s->id);
    ASSERT(split < SPLIT_COUNT && (uint64_t)sequence_index(s->id) == w->header.sequences[split]);
    ASSERT(split == SPLIT_VALIDATION || w->header.sequences[SPLIT_VALIDATION] == 0);
    w->header.sequences[split]++;
    put_index(w);

    const struct corpus_block block = {.input_hash = s->input_hash,
                                       .tokens = (uint32_t)s->tokens,
                                       .documents = (uint32_t)s->documents,
                                       .labels = (uint32_t)s->labels};
    put(w, &block, sizeof block);
    put(w, s->starts, ((size_t)s->documents + 1) * sizeof *s->starts);
    put(w, s->ids, (size_t)s->tokens * sizeof *s->ids);
    put(w, s->supervised, (size_t)s->tokens);
    static const char zeros[ALIGNMENT];
    put(w, zeros, (size_t)(-w->offset % ALIGNMENT));
    return w->pending.size < FLUSH_BYTES ? 0 : flush(w, e);
}

/* The header goes last: a file that breaks off before has none, and no magic. */
static int finish(struct corpus_writer *w, struct err *e)
{
    w->header.index_offset = w->offset;
    put(w, w->index, (size_t)w->count * sizeof *w->index);
    w->header.file_size = w->offset;
    if (flush(w, e))
        return -1;
    w->header.body_hash = hash64_value(w->body);
    w->header.header_crc = corpus_header_crc(&w->header);
    if (file_write_at(w->fd, w->temporary, &w->header, sizeof w->header, 0, e))
        return -1;
    if (fsync(w->fd))
        return err_errno(e, "%s: cannot sync", w->temporary);
    if (rename(w->temporary, w->path))
        return err_errno(e, "%s: cannot rename to it", w->path);
    return 0;
}

int corpus_writer_commit(struct corpus_writer *w, const struct corpus_report reports[SPLIT_COUNT], struct err *e)
{
    memcpy(w->header.reports, reports, sizeof w->header.reports);
    int rc = finish(w, e);
    if (rc)
        unlink(w->temporary);
    writer_free(w);
    return rc;
}

void corpus_writer_abandon(struct corpus_writer *w)
{
    if (!w)
        return;
    unlink(w->temporary);
    writer_free(w);
}
