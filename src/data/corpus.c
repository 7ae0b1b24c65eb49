/* From a spec to the file: the key that names it, and the way files -> documents -> sequences. */
#include "data/corpus.h"

#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "data/corpus_file.h"
#include "data/pack.h"

/* Part of the key: raise it when the same input becomes other sequences than before, by packing, a template's row or
 * the tokenizer's code. */
enum { PACKING_VERSION = 1 };

static const char *const split_keys[SPLIT_COUNT] = {"data.train", "data.validation"};

static bool has_chat(const struct corpus_spec *spec)
{
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int i = 0; i < spec->file_count[s]; i++)
            if (spec->files[s][i].format == DATA_CHAT)
                return true;
    return false;
}

static int rules_of(struct document_rules *r, const struct corpus_spec *spec, const struct tokenizer *t, struct err *e)
{
    if (spec->sequence_length < 2)
        return err_set(e, ERR_USAGE, "data.sequence_length is %d; a sequence needs at least 2 tokens",
                       spec->sequence_length);
    return document_rules_init(r, t, has_chat(spec), spec->template_name, spec->system_prompt, spec->append_eos, e);
}

static void add_u64(struct hash64 *h, uint64_t value)
{
    hash64_add(h, &value, sizeof value);
}

/* With its length before it, so that two strings cannot trade a character. */
static void add_string(struct hash64 *h, const char *s)
{
    add_u64(h, s ? strlen(s) + 1 : 0);
    if (s)
        hash64_add(h, s, strlen(s));
}

/* Content and how it is read; not the path, so that a moved file keeps its corpus. */
static int add_file(struct hash64 *h, const struct data_file *file, struct err *e)
{
    struct file_map map = {0};
    if (file_map_open(&map, file->path, e))
        return -1;
    add_u64(h, (uint64_t)file->format << 1 | document_file_has_lines(file));
    add_u64(h, map.size);
    hash64_add(h, map.data, map.size);
    file_map_close(&map);
    return 0;
}

static int add_files(struct hash64 *h, const struct corpus_spec *spec, struct err *e)
{
    for (int s = 0; s < SPLIT_COUNT; s++) {
        add_u64(h, (uint64_t)spec->file_count[s]);
        for (int i = 0; i < spec->file_count[s]; i++)
            if (add_file(h, &spec->files[s][i], e))
                return -1;
    }
    return 0;
}

int corpus_key(const struct corpus_spec *spec, const struct tokenizer *t, uint64_t *key, struct err *e)
{
    struct document_rules rules;
    if (rules_of(&rules, spec, t, e))
        return -1;
    struct hash64 *h = hash64_new();
    add_u64(h, PACKING_VERSION);
    add_u64(h, tokenizer_hash(t));
    add_u64(h, (uint64_t)tokenizer_bos(t));
    add_u64(h, (uint64_t)tokenizer_eos(t));
    add_u64(h, tokenizer_adds_bos(t));
    add_u64(h, (uint64_t)spec->sequence_length);
    add_u64(h, spec->pack_seed);
    add_u64(h, spec->append_eos);
    add_string(h, rules.chat ? chat_template_name(rules.chat) : NULL);
    add_string(h, rules.chat ? spec->system_prompt : NULL);
    int rc = add_files(h, spec, e);
    if (!rc)
        *key = hash64_value(h);
    hash64_free(h);
    return rc;
}

struct collector {
    struct document_pool pool;
    int64_t bytes_replaced;
};

static int collect(void *context, struct document *d, struct err *e)
{
    (void)e;
    struct collector *c = context;
    document_pool_add(&c->pool, d);
    c->bytes_replaced += d->bytes_replaced;
    return 0;
}

static int check_split(const struct corpus_spec *spec, enum split split, const struct corpus_report *r, struct err *e)
{
    if (r->supervised)
        return 0;
    const char *first = spec->files[split][0].path;
    if (!r->documents_dropped)
        return err_set(e, ERR_INPUT, "%s: no document in %s%s: give it data", split_keys[split], first,
                       spec->file_count[split] > 1 ? " and the files after it" : "");
    return err_set(e, ERR_INPUT,
                   "%s: no supervised token is left in %s%s: all %lld documents have none in their first %d tokens; "
                   "raise data.sequence_length or check the completions",
                   split_keys[split], first, spec->file_count[split] > 1 ? " and the files after it" : "",
                   (long long)r->documents_dropped, spec->sequence_length);
}

static int build_split(struct corpus_writer *w, enum split split, const struct corpus_spec *spec,
                       const struct document_rules *rules, struct corpus_report *report, struct err *e)
{
    struct collector c = {0};
    int rc = 0;
    for (int i = 0; i < spec->file_count[split] && !rc; i++)
        rc = document_read_file(&spec->files[split][i], rules, collect, &c, e);
    if (!rc)
        rc = pack_documents(w, split, &c.pool, spec->sequence_length, spec->pack_seed, report, e);
    report->bytes_replaced = c.bytes_replaced;
    document_pool_release(&c.pool);
    if (!rc && spec->file_count[split])
        rc = check_split(spec, split, report, e);
    return rc;
}

int corpus_build(const char *path, uint64_t key, const struct corpus_spec *spec, const struct tokenizer *t,
                 struct err *e)
{
    struct document_rules rules;
    struct corpus_report reports[SPLIT_COUNT] = {0};
    struct corpus_writer *w;
    if (rules_of(&rules, spec, t, e) || corpus_writer_open(&w, path, key, spec->sequence_length, e))
        return -1;
    for (int s = 0; s < SPLIT_COUNT; s++) {
        if (build_split(w, s, spec, &rules, &reports[s], e)) {
            corpus_writer_abandon(w);
            return -1;
        }
    }
    return corpus_writer_commit(w, reports, e);
}
