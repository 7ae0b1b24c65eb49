/* inspect: what belongs to labels. A record is decoded where one is asked for, by itself or by its seq_id. */
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "fmt/safetensors.h"
#include "job/inspect_internal.h"
#include "job/store_list.h"
#include "label/record.h"
#include "label/store_file.h"

/* --- one record --- */

static void put_state(const struct label_set *set, int label, struct strbuf *out)
{
    const float *state = set->hidden + label * set->width;
    strbuf_adds(out, label ? ", {\"hidden\": [" : "{\"hidden\": [");
    for (int64_t k = 0; k < set->width; k++)
        strbuf_printf(out, "%s%.9g", k ? ", " : "", (double)state[k]);
    strbuf_adds(out, "]}");
}

static void put_entries(const struct label_set *set, int label, struct strbuf *out)
{
    if (set->hidden) {
        put_state(set, label, out);
        return;
    }
    const int64_t first = set->first[label], end = set->first[label + 1];
    strbuf_adds(out, label ? ", {\"ids\": [" : "{\"ids\": [");
    for (int64_t k = first; k < end; k++)
        strbuf_printf(out, "%s%u", k > first ? ", " : "", set->ids[k]);
    strbuf_adds(out, "], \"p\": [");
    for (int64_t k = first; k < end; k++)
        strbuf_printf(out, "%s%.9g", k > first ? ", " : "", (double)set->p[k]);
    strbuf_printf(out, "], \"tail\": %.9g, \"entropy\": %.9g}", (double)set->tail[label], (double)set->entropy[label]);
}

static void say_entries(const struct label_set *set, int label, struct strbuf *out)
{
    if (set->hidden) {
        strbuf_printf(out, "  label %d: a state of %lld\n", label, (long long)set->width);
        return;
    }
    strbuf_printf(out, "  label %d: entropy %.4f, tail %.4f:", label, (double)set->entropy[label],
                  (double)set->tail[label]);
    for (int64_t k = set->first[label]; k < set->first[label + 1]; k++)
        strbuf_printf(out, " %u %.4f", set->ids[k], (double)set->p[k]);
    strbuf_addc(out, '\n');
}

/* Whatever vocabulary the ids are of: the job that reads them checks that. */
static int decode(const void *bytes, size_t size, const struct record_info *r, struct label_set *set, struct err *e)
{
    return record_decode(bytes, size, &r->spec, r->seq_id, r->input_hash, UINT32_MAX, set, e);
}

static void print_summary(const struct inspection *i, const struct record_info *r)
{
    strbuf_printf(i->out,
                  i->json ? ", \"labels\": \"%s\", \"values\": \"%s\", \"seq_id\": %llu, \"input_hash\": \"%016llx\", "
                            "\"tokens\": %u, \"label_count\": %u, \"temperature\": %.9g"
                          : "%s labels (values %s) of sequence %llu (input %016llx): %u tokens, %u labels, temperature "
                            "%g\n",
                  label_kind_name(r->spec.kind), label_values_name(r->spec.values), (unsigned long long)r->seq_id,
                  (unsigned long long)r->input_hash, r->tokens, r->labels, r->spec.temperature);
}

static int not_there(const struct inspection *i, struct err *e)
{
    return err_set(e, ERR_INPUT, "%s: holds no record of sequence %llu; inspect lists those that it holds", i->path,
                   (unsigned long long)*i->seq_id);
}

int inspect_record(const struct inspection *i, const void *bytes, size_t size, struct err *e)
{
    struct record_info r;
    struct label_set set = {0};
    const bool entries = i->json || i->seq_id;
    if (record_info(bytes, size, &r, e))
        return -1;
    if (i->seq_id && *i->seq_id != r.seq_id)
        return not_there(i, e);
    if (entries && decode(bytes, size, &r, &set, e))
        return -1;
    inspect_begin(i, "record");
    print_summary(i, &r);
    if (i->json)
        strbuf_adds(i->out, ", \"entries\": [");
    for (int k = 0; k < set.labels; k++)
        (i->json ? put_entries : say_entries)(&set, k, i->out);
    if (i->json)
        strbuf_adds(i->out, "]");
    inspect_end(i);
    label_set_release(&set);
    return 0;
}

/* --- a file of a store --- */

static void print_listed(const struct inspection *i, const struct record_info *r, const struct store_entry *entry,
                         bool first)
{
    strbuf_printf(i->out,
                  i->json ? "%s{\"seq_id\": %llu, \"input_hash\": \"%016llx\", \"tokens\": %u, \"label_count\": %u, "
                            "\"offset\": %llu, \"bytes\": %llu}"
                          : "%s  sequence %llu (input %016llx): %u tokens, %u labels, at byte %llu, %llu bytes\n",
                  i->json && !first ? ", " : "", (unsigned long long)r->seq_id, (unsigned long long)r->input_hash,
                  r->tokens, r->labels, (unsigned long long)entry->offset, (unsigned long long)entry->size);
}

static int print_records(const struct inspection *i, const struct store_file *f, struct err *e)
{
    for (int64_t k = 0; k < store_file_count(f); k++) {
        const struct store_entry entry = store_file_entry(f, k);
        struct record_info r;
        if (record_glance(store_file_record(f, k), (size_t)entry.size, &r, e)) {
            err_prefix(e, "%s", i->path);
            return -1;
        }
        print_listed(i, &r, &entry, k == 0);
    }
    return 0;
}

static int list_records(const struct inspection *i, const struct store_file *f, struct err *e)
{
    const bool sealed = store_file_sealed(f);
    const long long count = store_file_count(f);
    const unsigned long long rest = store_file_rest(f);
    inspect_begin(i, "store file");
    if (i->json) {
        inspect_text(i->out, "owner", store_file_owner(f));
        strbuf_printf(i->out, ", \"sealed\": %s, \"rest\": %llu, \"record_count\": %lld, \"records\": [",
                      sealed ? "true" : "false", rest, count);
    } else {
        strbuf_printf(i->out, "%s, %lld records, written by %s", sealed ? "sealed" : "open", count,
                      store_file_owner(f));
        strbuf_printf(i->out, rest ? "; %llu bytes that are no whole record\n" : "\n", rest);
    }
    const int rc = print_records(i, f, e);
    if (i->json)
        strbuf_adds(i->out, "]");
    inspect_end(i);
    return rc;
}

static int find_record(const struct inspection *i, const struct store_file *f, struct err *e)
{
    for (int64_t k = 0; k < store_file_count(f); k++) {
        const struct store_entry entry = store_file_entry(f, k);
        if (entry.seq_id == *i->seq_id)
            return inspect_record(i, store_file_record(f, k), (size_t)entry.size, e);
    }
    return not_there(i, e);
}

int inspect_store_file(const struct inspection *i, struct err *e)
{
    struct store_file *f;
    if (store_file_open(&f, i->path, e))
        return -1;
    const int rc = i->seq_id ? find_record(i, f, e) : list_records(i, f, e);
    store_file_close(f);
    return rc;
}

/* --- a store --- */

int inspect_store(const struct inspection *i, struct err *e)
{
    struct store *s;
    size_t size = 0;
    int rc;
    if (store_open(&s, i->path, e))
        return -1;
    const void *record = i->seq_id ? store_find(s, *i->seq_id, &size) : NULL;
    if (record)
        rc = inspect_record(i, record, size, e);
    else if (i->seq_id)
        rc = not_there(i, e);
    else
        rc = store_list(s, i->path, i->json, i->out, e);
    store_close(s);
    return rc;
}

int inspect_store_json(const struct inspection *i, struct err *e)
{
    struct store_description d;
    char *directory = file_parent(i->path);
    const int rc = store_describe(directory, &d, e);
    mem_free(directory);
    if (rc)
        return rc;
    inspect_begin(i, "store description");
    if (i->json) {
        strbuf_adds(i->out, ", \"description\": ");
        store_print(&d, i->out);
    } else {
        store_list_description(&d, i->out);
    }
    inspect_end(i);
    return 0;
}
