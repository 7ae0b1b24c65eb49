/* A whole store as one file of plain arrays. It is decoded twice: how many entries there are is known after the first
 * time, and where each array goes after that. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "fmt/safetensors.h"
#include "label/record.h"
#include "label/store_internal.h"

enum { BUFFER = 1 << 20 };

/* HIDDEN: of hidden labels alone */
enum array { SEQ_ID, INPUT_HASH, LABEL_OFFSET, ENTRY_OFFSET, IDS, P, TAIL, ENTROPY, HIDDEN, ARRAYS };

static const struct {
    const char *name;
    enum dtype dtype;
} arrays[ARRAYS] = {
    [SEQ_ID] = {"seq_id", DTYPE_U64},
    [INPUT_HASH] = {"input_hash", DTYPE_U64},
    [LABEL_OFFSET] = {"label_offset", DTYPE_U64},
    [ENTRY_OFFSET] = {"entry_offset", DTYPE_U64},
    [IDS] = {"ids", DTYPE_U32},
    [P] = {"p", DTYPE_F32},
    [TAIL] = {"tail", DTYPE_F32},
    [ENTROPY] = {"entropy", DTYPE_F32},
    [HIDDEN] = {"hidden", DTYPE_F32},
};

struct column {
    uint64_t offset; /* in the file, of what the buffer begins with */
    unsigned char *buffer;
    size_t size;
};

struct export
{
    const struct store *s;
    const char *path;
    char *temporary;
    int fd;
    int64_t labels, entries; /* of the records so far */
    struct column columns[ARRAYS];
};

static int decode(const struct export *x, int64_t i, struct label_set *set, struct err *e)
{
    const struct store_description *d = &x->s->description;
    const struct store_record r = store_at(x->s, i);
    struct record_info info;
    if (!record_info(r.bytes, r.size, &info, e) &&
        !record_decode(r.bytes, r.size, &d->label, r.seq_id, info.input_hash, d->vocabulary, set, e))
        return 0;
    err_prefix(e, "%s/%s", x->s->directory, x->s->parts[r.part].name);
    return -1;
}

static int count(struct export *x, struct err *e)
{
    for (int64_t i = 0; i < x->s->count; i++) {
        struct label_set set;
        if (decode(x, i, &set, e))
            return -1;
        x->labels += set.labels;
        x->entries += set.first[set.labels];
        label_set_release(&set);
    }
    return 0;
}

/* --- the file --- */

static int arrays_of(const struct export *x)
{
    return x->s->description.label.kind == LABEL_HIDDEN ? ARRAYS : ARRAYS - 1;
}

static int write_header(struct export *x, struct err *e)
{
    const int64_t n = x->s->count;
    const int64_t width = x->s->description.label.hidden;
    const int64_t shapes[ARRAYS][2] = {{n},          {n},         {n + 1},     {x->labels + 1},   {x->entries},
                                       {x->entries}, {x->labels}, {x->labels}, {x->labels, width}};
    struct safetensors_plan *plan = safetensors_plan_new();
    struct strbuf header;
    strbuf_init(&header);
    safetensors_plan_metadata(plan, "format", "retort exported labels 1");
    for (int i = 0; i < arrays_of(x); i++)
        safetensors_plan_add(plan, arrays[i].name, arrays[i].dtype, i == HIDDEN ? 2 : 1, shapes[i]);
    safetensors_plan_finish(plan, &header);
    for (int i = 0; i < arrays_of(x); i++)
        x->columns[i] = (struct column){safetensors_plan_offset(plan, i), mem_alloc(BUFFER), 0};
    const int rc = file_write_at(x->fd, x->path, header.data, header.size, 0, e);
    strbuf_release(&header);
    safetensors_plan_free(plan);
    return rc;
}

static int flush(struct export *x, enum array a, struct err *e)
{
    struct column *c = &x->columns[a];
    if (file_write_at(x->fd, x->path, c->buffer, c->size, c->offset, e))
        return -1;
    c->offset += c->size;
    c->size = 0;
    return 0;
}

static int put(struct export *x, enum array a, const void *bytes, size_t size, struct err *e)
{
    struct column *c = &x->columns[a];
    for (const unsigned char *from = bytes; size > 0;) {
        const size_t n = size < BUFFER - c->size ? size : BUFFER - c->size;
        memcpy(c->buffer + c->size, from, n);
        c->size += n;
        from += n;
        size -= n;
        if (c->size == BUFFER && flush(x, a, e))
            return -1;
    }
    return 0;
}

static int put_offset(struct export *x, enum array a, int64_t value, struct err *e)
{
    return put(x, a, &value, sizeof value, e);
}

static int put_set(struct export *x, const struct label_set *set, struct err *e)
{
    const size_t labels = (size_t)set->labels, entries = (size_t)set->first[labels];
    for (int i = 1; i <= set->labels; i++)
        if (put_offset(x, ENTRY_OFFSET, x->entries + set->first[i], e))
            return -1;
    x->labels += set->labels;
    x->entries += set->first[labels];
    return put(x, SEQ_ID, &set->seq_id, sizeof set->seq_id, e) ||
                   put(x, INPUT_HASH, &set->input_hash, sizeof set->input_hash, e) ||
                   put_offset(x, LABEL_OFFSET, x->labels, e) || put(x, IDS, set->ids, entries * sizeof *set->ids, e) ||
                   put(x, P, set->p, entries * sizeof *set->p, e) ||
                   put(x, TAIL, set->tail, labels * sizeof *set->tail, e) ||
                   put(x, ENTROPY, set->entropy, labels * sizeof *set->entropy, e) ||
                   (set->hidden && put(x, HIDDEN, set->hidden, labels * (size_t)set->width * sizeof *set->hidden, e))
               ? -1
               : 0;
}

static int put_all(struct export *x, struct err *e)
{
    x->labels = x->entries = 0;
    if (put_offset(x, LABEL_OFFSET, 0, e) || put_offset(x, ENTRY_OFFSET, 0, e))
        return -1;
    for (int64_t i = 0; i < x->s->count; i++) {
        struct label_set set;
        if (decode(x, i, &set, e))
            return -1;
        const int rc = put_set(x, &set, e);
        label_set_release(&set);
        if (rc)
            return -1;
    }
    for (int i = 0; i < arrays_of(x); i++)
        if (flush(x, (enum array)i, e))
            return -1;
    return 0;
}

static int write_file(struct export *x, struct err *e)
{
    if (count(x, e) || write_header(x, e) || put_all(x, e))
        return -1;
    if (fsync(x->fd))
        return err_errno(e, "%s: cannot sync", x->path);
    return rename(x->temporary, x->path) ? err_errno(e, "%s: cannot rename to it", x->path) : 0;
}

int store_export(const struct store *s, const char *path, struct err *e)
{
    struct export x = {.s = s, .path = path};
    if (file_exists(path))
        return err_set(e, ERR_ENVIRONMENT, "%s: is there already; name another file or remove it", path);
    x.temporary = mem_printf("%s.tmp.%ld", path, (long)getpid());
    x.fd = open(x.temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int rc = x.fd < 0 ? err_errno(e, "%s: cannot create", path) : write_file(&x, e);
    if (x.fd >= 0)
        close(x.fd);
    if (x.fd >= 0 && rc)
        unlink(x.temporary);
    for (int i = 0; i < ARRAYS; i++)
        mem_free(x.columns[i].buffer);
    mem_free(x.temporary);
    return rc;
}
