#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "label/store_file_format.h"
#include "label/store_internal.h"

/* How often the directory may change under the reader's eyes before it takes what it sees. */
enum { LOOKS = 100 };

/* --- files --- */

static double seconds_unchanged(const char *path)
{
    struct stat st;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (stat(path, &st))
        return 0;
    const double s = (double)(now.tv_sec - st.st_mtim.tv_sec) + 1e-9 * (double)(now.tv_nsec - st.st_mtim.tv_nsec);
    return s > 0 ? s : 0;
}

/* 1: there is no such file any more. */
static int open_part(struct store *s, const char *name, struct err *e)
{
    struct store_open_part *p = &s->parts[s->part_count];
    char *path = file_join(s->directory, name);
    const double unchanged = seconds_unchanged(path);
    /* asked before it is read: of a file whose writer was gone by then, all has been read */
    const bool written = file_ends_in(name, STORE_OPEN) && store_writer_lives(path);
    int rc = store_file_open(&p->file, path, e);
    if (rc && !file_exists(path)) {
        err_clear(e);
        rc = 1;
    } else if (!rc) {
        p->name = mem_strdup(name);
        p->unchanged = unchanged;
        p->written = written;
        s->part_count++;
    }
    mem_free(path);
    return rc;
}

static void close_parts(struct store *s)
{
    for (int i = 0; i < s->part_count; i++) {
        mem_free(s->parts[i].name);
        store_file_close(s->parts[i].file);
    }
    mem_free(s->parts);
    s->parts = NULL;
    s->part_count = 0;
}

static int open_all(struct store *s, const struct store_names *n, struct err *e)
{
    int rc = 0;
    s->parts = mem_array((size_t)n->count, sizeof *s->parts);
    for (int i = 0; i < n->count && !rc; i++)
        if (file_ends_in(n->names[i], STORE_OPEN) || file_ends_in(n->names[i], STORE_SEALED))
            rc = open_part(s, n->names[i], e);
    return rc;
}

/* Opens what one reading of the directory names. 1: others sealed or merged files meanwhile, so that one may be gone,
 * or there under a name that was not read. */
static int look(struct store *s, struct err *e)
{
    struct store_names before, after;
    if (store_names_read(&before, s->directory, STORE_LABELS, e))
        return -1;
    int rc = open_all(s, &before, e);
    if (!rc && !(rc = store_names_read(&after, s->directory, STORE_LABELS, e))) {
        rc = !store_names_equal(&before, &after);
        store_names_release(&after);
    }
    store_names_release(&before);
    return rc;
}

static int look_until_quiet(struct store *s, struct err *e)
{
    for (int i = 0; i < LOOKS; i++) {
        const int rc = look(s, e);
        if (rc <= 0)
            return rc;
        close_parts(s);
    }
    return err_set(
        e, ERR_ENVIRONMENT,
        "%s: its files change so often that they cannot be read; wait for `retort store compact` or the jobs "
        "that write it",
        s->directory);
}

/* --- records --- */

static int by_id(const void *a, const void *b)
{
    const struct store_place *x = a, *y = b;
    if (x->seq_id != y->seq_id)
        return x->seq_id < y->seq_id ? -1 : 1;
    if (x->part != y->part)
        return x->part < y->part ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

struct store_place *store_places(const struct store *s, const bool *chosen, int64_t *count)
{
    int64_t n = 0;
    for (int i = 0; i < s->part_count; i++)
        n += store_file_count(s->parts[i].file);
    struct store_place *places = mem_array((size_t)n, sizeof *places), *at = places;
    for (int i = 0; i < s->part_count; i++)
        for (int64_t k = 0; k < store_file_count(s->parts[i].file) && (!chosen || chosen[i]); k++)
            *at++ = (struct store_place){store_file_entry(s->parts[i].file, k).seq_id, i, k};
    *count = at - places;
    qsort(places, (size_t)*count, sizeof *places, by_id);
    return places;
}

static void find_places(struct store *s)
{
    int64_t n, kept = 0;
    s->places = store_places(s, NULL, &n);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || s->places[i].seq_id != s->places[i - 1].seq_id)
            s->places[kept++] = s->places[i];
    s->count = kept;
}

int store_open(struct store **out, const char *directory, struct err *e)
{
    struct store *s = mem_alloc(sizeof *s);
    s->directory = mem_strdup(directory);
    if (store_describe(directory, &s->description, e) || look_until_quiet(s, e)) {
        store_close(s);
        return -1;
    }
    find_places(s);
    *out = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    close_parts(s);
    mem_free(s->places);
    mem_free(s->directory);
    mem_free(s);
}

const struct store_description *store_description(const struct store *s)
{
    return &s->description;
}

int64_t store_count(const struct store *s)
{
    return s->count;
}

/* How many are below. */
static int64_t lower_bound(const struct store *s, uint64_t seq_id)
{
    int64_t low = 0, high = s->count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (s->places[middle].seq_id < seq_id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int64_t store_count_of(const struct store *s, enum split split)
{
    return lower_bound(s, sequence_id(split + 1, 0)) - lower_bound(s, sequence_id(split, 0));
}

struct store_record store_at(const struct store *s, int64_t i)
{
    const struct store_place *p = &s->places[i];
    const struct store_file *f = s->parts[p->part].file;
    return (struct store_record){.seq_id = p->seq_id,
                                 .bytes = store_file_record(f, p->index),
                                 .size = (size_t)store_file_entry(f, p->index).size,
                                 .part = p->part};
}

const void *store_find(const struct store *s, uint64_t seq_id, size_t *size)
{
    const int64_t i = lower_bound(s, seq_id);
    if (i == s->count || s->places[i].seq_id != seq_id)
        return NULL;
    const struct store_record r = store_at(s, i);
    *size = r.size;
    return r.bytes;
}

void store_prefetch(const struct store *s, uint64_t seq_id)
{
    size_t size;
    const char *record = store_find(s, seq_id, &size);
    if (!record)
        return;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), into = (uintptr_t)record % page;
    madvise((void *)(record - into), size + into, MADV_WILLNEED);
}

int store_parts(const struct store *s)
{
    return s->part_count;
}

struct store_part store_part(const struct store *s, int i)
{
    const struct store_open_part *p = &s->parts[i];
    struct store_part part = {.name = p->name,
                              .owner = store_file_owner(p->file),
                              .sealed = store_file_sealed(p->file),
                              .records = store_file_count(p->file),
                              .rest = store_file_rest(p->file),
                              .seconds_unchanged = p->unchanged};
    for (int64_t k = 0; k < part.records; k++)
        part.bytes += store_file_entry(p->file, k).size;
    return part;
}
