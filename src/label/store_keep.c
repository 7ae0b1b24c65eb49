/* Verifying a store, and merging its files. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "label/record.h"
#include "label/record_format.h"
#include "label/store_internal.h"

/* --- verify --- */

static int misplaced(const char *what, struct err *e)
{
    return err_set(e, ERR_INPUT, "%s; move the file away, and what it held will be labelled again", what);
}

/* Whether a whole record belongs into this store. */
static int check_record(const struct store_description *d, const struct record_info *r, struct err *e)
{
    const uint64_t split = sequence_split(r->seq_id);
    if (split >= SPLIT_COUNT || sequence_index(r->seq_id) >= d->sequences[split] ||
        r->tokens > (uint32_t)d->sequence_length)
        return misplaced("holds a record of a sequence that the corpus does not have", e);
    if (r->spec.kind != d->label.kind || r->spec.values != d->label.values ||
        (float)r->spec.temperature != (float)d->label.temperature ||
        record_parameter(&r->spec) != record_parameter(&d->label))
        return misplaced("holds a record of another encoding than " STORE_JSON " says", e);
    return 0;
}

static int verify_record(const struct store *s, const struct store_file *f, int64_t i, bool deep, struct err *e)
{
    const struct store_description *d = &s->description;
    const struct store_entry entry = store_file_entry(f, i);
    const void *bytes = store_file_record(f, i);
    struct record_info info;
    struct label_set set;
    if (record_info(bytes, (size_t)entry.size, &info, e) || check_record(d, &info, e))
        return -1;
    if (!deep)
        return 0;
    if (record_decode(bytes, (size_t)entry.size, &d->label, info.seq_id, info.input_hash, d->vocabulary, &set, e))
        return -1;
    label_set_release(&set);
    return 0;
}

static int verify_part(const struct store *s, const struct store_open_part *p, bool deep, struct err *e)
{
    if (store_file_verify(p->file, e))
        return -1;
    for (int64_t i = 0; i < store_file_count(p->file); i++)
        if (verify_record(s, p->file, i, deep, e)) {
            err_prefix(e, "%s/%s", s->directory, p->name);
            return -1;
        }
    return 0;
}

int store_verify(const struct store *s, bool deep, struct err *e)
{
    for (int i = 0; i < s->part_count; i++)
        if (verify_part(s, &s->parts[i], deep, e))
            return -1;
    return 0;
}

/* --- compact: what is merged --- */

struct compaction {
    const char *directory, *owner;
    uint64_t most;
    struct store *s;
    bool *chosen;               /* [parts]: is merged */
    struct store_place *places; /* records of the chosen parts, the same one side by side */
    int64_t count, copies;      /* copies: of them there twice */
    int busy;
    int generation;
};

static bool is_busy(const struct compaction *c, int i, double idle_seconds)
{
    const struct store_open_part *p = &c->s->parts[i];
    return p->written || p->unchanged < idle_seconds;
}

static bool same_record(const struct compaction *c, int64_t i)
{
    return i > 0 && c->places[i].seq_id == c->places[i - 1].seq_id;
}

static void take_places(struct compaction *c)
{
    mem_free(c->places);
    c->places = store_places(c->s, c->chosen, &c->count);
    c->copies = 0;
    for (int64_t i = 0; i < c->count; i++)
        c->copies += same_record(c, i);
}

/* A record is left out only where this compaction itself writes it again: another one may be removing what is not
 * merged here. So both files that hold it are chosen. */
static void choose(struct compaction *c, double idle_seconds)
{
    const int n = c->s->part_count;
    bool *wanted = mem_array((size_t)n, sizeof *wanted);
    c->chosen = mem_array((size_t)n, sizeof *c->chosen);
    for (int i = 0; i < n; i++) {
        const struct store_part p = store_part(c->s, i);
        const bool busy = is_busy(c, i, idle_seconds);
        c->busy += busy;
        c->chosen[i] = !busy;
        wanted[i] = !busy && (!p.sealed || p.bytes < c->most / 2);
    }
    take_places(c);
    for (int64_t i = 0; i < c->count; i++)
        if (same_record(c, i))
            wanted[c->places[i].part] = wanted[c->places[i - 1].part] = true;
    memcpy(c->chosen, wanted, (size_t)n * sizeof *wanted);
    mem_free(wanted);
    take_places(c);
}

static int chosen_count(const struct compaction *c)
{
    int n = 0;
    for (int i = 0; i < c->s->part_count; i++)
        n += c->chosen[i];
    return n;
}

/* One small file alone is as good as it gets. */
static bool has_work(const struct compaction *c)
{
    bool open = false;
    for (int i = 0; i < c->s->part_count; i++)
        open |= c->chosen[i] && !store_file_sealed(c->s->parts[i].file);
    return open || c->copies || chosen_count(c) > 1;
}

static int verify_chosen(const struct compaction *c, struct err *e)
{
    for (int i = 0; i < c->s->part_count; i++)
        if (c->chosen[i] && verify_part(c->s, &c->s->parts[i], false, e))
            return -1;
    return 0;
}

/* --- compact: what it writes --- */

static int append_all(const struct compaction *c, struct store_append *a, struct err *e)
{
    for (int64_t i = 0; i < c->count; i++) {
        const struct store_place *p = &c->places[i];
        const struct store_file *f = c->s->parts[p->part].file;
        if (!same_record(c, i) &&
            store_append(a, store_file_record(f, p->index), (size_t)store_file_entry(f, p->index).size, e))
            return -1;
    }
    return store_append_seal(a, e);
}

static int write_merged(struct compaction *c, struct err *e)
{
    struct store_append *a;
    if (store_join(c->directory, c->owner, &c->generation, e) ||
        store_append_new(&a, c->directory, c->generation, 0, c->owner, c->most, e))
        return -1;
    const int rc = append_all(c, a, e);
    store_append_free(a);
    return rc;
}

/* Before anything is removed: what was written is read back, and is all that there was. */
static int check_merged(const struct compaction *c, int *files, struct err *e)
{
    struct store *s;
    int64_t records = 0;
    int rc = 0;
    if (store_open(&s, c->directory, e))
        return -1;
    *files = 0;
    for (int i = 0; i < s->part_count && !rc; i++) {
        int number = 0;
        if (sscanf(s->parts[i].name, STORE_LABELS "%d", &number) != 1 || number != c->generation)
            continue;
        rc = verify_part(s, &s->parts[i], false, e);
        records += store_file_count(s->parts[i].file);
        ++*files;
    }
    if (!rc && records != c->count - c->copies)
        rc = err_set(e, ERR_ENVIRONMENT, "%s: %lld records were written, %lld are there; nothing was removed",
                     c->directory, (long long)(c->count - c->copies), (long long)records);
    store_close(s);
    return rc;
}

static int remove_chosen(const struct compaction *c, struct err *e)
{
    for (int i = 0; i < c->s->part_count; i++) {
        if (!c->chosen[i])
            continue;
        char *path = file_join(c->directory, c->s->parts[i].name);
        const int rc = unlink(path) && errno != ENOENT ? err_errno(e, "%s: cannot be removed", path) : 0;
        mem_free(path);
        if (rc)
            return rc;
    }
    return file_sync_directory(c->directory, e);
}

static void say(const struct compaction *c, int files, struct strbuf *said)
{
    const int merged = chosen_count(c);
    for (int i = 0; i < c->s->part_count; i++) {
        const struct store_part p = store_part(c->s, i);
        if (c->chosen[i] && p.rest)
            strbuf_printf(said, "%s: left out %llu bytes that are no whole record\n", p.name,
                          (unsigned long long)p.rest);
    }
    strbuf_printf(said, "merged %d file%s into %d: %lld records", merged, merged == 1 ? "" : "s", files,
                  (long long)(c->count - c->copies));
    if (c->copies)
        strbuf_printf(said, ", left out %lld that were there twice", (long long)c->copies);
    strbuf_addc(said, '\n');
}

static int merge(struct compaction *c, struct strbuf *said, struct err *e)
{
    int files;
    if (verify_chosen(c, e) || write_merged(c, e) || check_merged(c, &files, e) || remove_chosen(c, e))
        return -1;
    say(c, files, said);
    return 0;
}

int store_compact(const char *directory, uint64_t most, double idle_seconds, const char *owner, struct strbuf *said,
                  struct err *e)
{
    struct compaction c = {.directory = directory, .owner = owner, .most = most};
    int rc = 0;
    if (store_open(&c.s, directory, e))
        return -1;
    choose(&c, idle_seconds);
    if (has_work(&c))
        rc = merge(&c, said, e);
    else
        strbuf_adds(said, "nothing to merge\n");
    if (c.busy && !rc)
        strbuf_printf(said, "left alone %d file%s that may be in use\n", c.busy, c.busy == 1 ? "" : "s");
    mem_free(c.chosen);
    mem_free(c.places);
    store_close(c.s);
    return rc;
}
