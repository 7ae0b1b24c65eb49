#include "job/stored.h"

#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "job/label_store.h"
#include "par/agree.h"

/* --- the choice that a run keeps --- */

static char *choice_path(const struct job *job)
{
    return file_join(job->output, "partial.bin");
}

static bool is_of_corpus(uint64_t id, const struct corpus *c)
{
    const uint64_t split = sequence_split(id);
    return split < SPLIT_COUNT && sequence_index(id) < corpus_count(c, (enum split)split);
}

static int check_choice(const struct sequence_list *l, const struct corpus *c, const char *path, struct err *e)
{
    for (int64_t i = 0; i < l->count; i++)
        if (!is_of_corpus(l->ids[i], c))
            return err_set(e, ERR_INPUT, "%s: damaged: it names a sequence that the data do not have", path);
    return 0;
}

/* No file: every sequence takes part. */
static int read_choice(struct sequence_list *l, const struct context *c, struct err *e)
{
    char *path = choice_path(c->job);
    struct file_map map;
    int rc = 0;
    if (file_exists(path) && !(rc = file_map_open(&map, path, e))) {
        l->count = (int64_t)(map.size / sizeof *l->ids);
        l->ids = mem_array((size_t)l->count, sizeof *l->ids);
        memcpy(l->ids, map.data, (size_t)l->count * sizeof *l->ids);
        file_map_close(&map);
        rc = check_choice(l, c->corpus, path, e);
    }
    mem_free(path);
    return rc;
}

/* A run that was killed before its first checkpoint may have left one. */
static int write_choice(const struct sequence_list *l, const struct job *job, struct err *e)
{
    char *path = choice_path(job);
    const int rc =
        l->count ? file_write(path, l->ids, (size_t)l->count * sizeof *l->ids, e) : file_remove_tree(path, e);
    mem_free(path);
    return rc;
}

/* --- what takes part --- */

/* The list has the sequences of validation first. */
static void apply(struct stored *s, struct items *items)
{
    const struct sequence_list *l = &s->partial;
    if (!l->count)
        return;
    s->indices = mem_array((size_t)l->count, sizeof *s->indices);
    items->validation = 0;
    for (int64_t i = 0; i < l->count; i++) {
        s->indices[i] = sequence_index(l->ids[i]);
        items->validation += sequence_split(l->ids[i]) == SPLIT_VALIDATION;
    }
    items->validated = s->indices;
    items->train.indices = s->indices + items->validation;
    items->train.count = l->count - items->validation;
}

static int refuse_missing(const struct job *job, const struct sequence_list *missing, int64_t wanted, bool resumed,
                          struct err *e)
{
    char *first = sequence_name(missing->ids[0]);
    err_set(e, ERR_INPUT,
            "%s: %s has no labels of %lld of the %lld sequences that this run reads; the first is %s: run "
            "mode: precompute again%s",
            job_where(job, "labels.store"), job->labels.store, (long long)missing->count, (long long)wanted, first,
            resumed ? "" : ", or train without them by labels.allow_partial: true");
    mem_free(first);
    return -1;
}

static int choose(struct stored *s, const struct context *c, struct err *e)
{
    const long long V = corpus_count(c->corpus, SPLIT_VALIDATION), n = corpus_count(c->corpus, SPLIT_TRAIN);
    long long validation = 0;
    sequence_list_all(&s->partial, c->corpus);
    sequence_list_keep(&s->partial, s->store, true);
    while (validation < s->partial.count && sequence_split(s->partial.ids[validation]) == SPLIT_VALIDATION)
        validation++;
    const long long train = s->partial.count - validation;
    if (!train)
        return err_set(e, ERR_INPUT, "%s: %s has labels of no training sequence of this job: run mode: precompute",
                       job_where(c->job, "labels.store"), c->job->labels.store);
    log_warning("labels.allow_partial: trains on the %lld of %lld sequences that the store has, validates with %lld of "
                "%lld",
                train, n, validation, V);
    return 0;
}

/* On the root, with the choice of an earlier start applied to items. */
static int find_missing(struct stored *s, const struct context *c, const struct items *items, bool resumed,
                        struct err *e)
{
    struct sequence_list missing;
    sequence_list_of_items(&missing, items, c->corpus);
    const int64_t wanted = missing.count;
    sequence_list_keep(&missing, s->store, false);
    int rc = 0;
    if (missing.count && c->job->labels.allow_partial && !resumed)
        rc = choose(s, c, e);
    else if (missing.count)
        rc = refuse_missing(c->job, &missing, wanted, resumed, e);
    else
        log_info("labels.store: %s has all %lld sequences that this run reads", c->job->labels.store,
                 (long long)wanted);
    sequence_list_release(&missing);
    return rc;
}

/* --- the store --- */

static int check_store(const struct context *c, struct err *e)
{
    const struct job *job = c->job;
    struct store_description there, wanted;
    if (label_store_description(&wanted, c, false, e))
        return -1;
    if (store_describe(job->labels.store, &there, e) || store_check(job->labels.store, &there, &wanted, false, e)) {
        context_locate(job, "labels.store", e);
        return -1;
    }
    if (there.label.seed != wanted.label.seed)
        log_info("labels.store: its labels were drawn with labels.seed %llu", (unsigned long long)there.label.seed);
    return 0;
}

static bool leads(const struct context *c)
{
    return c->groups.me.role == ROLE_STUDENT && groups_leads(&c->groups);
}

static int open_store(struct stored *s, const struct context *c, struct err *e)
{
    if (c->root)
        check_store(c, e);
    if (agree(c->world, e))
        return -1;
    if (leads(c) && store_open(&s->store, c->job->labels.store, e))
        context_locate(c->job, "labels.store", e);
    return agree(c->world, e);
}

/* The root's part of stored_open. */
static int decide(struct stored *s, const struct context *c, struct items *items, bool resumed, struct err *e)
{
    const bool partial = c->job->labels.allow_partial;
    struct items mine = *items;
    if (partial && resumed && read_choice(&s->partial, c, e))
        return -1;
    apply(s, &mine);
    if (s->store && find_missing(s, c, &mine, resumed, e))
        return -1;
    return partial && !resumed ? write_choice(&s->partial, c->job, e) : 0;
}

int stored_open(struct stored *s, const struct context *c, struct items *items, bool resumed, struct err *e)
{
    *s = (struct stored){0};
    if (c->job->labels.source == SOURCE_STORE && open_store(s, c, e))
        return -1;
    if (c->root)
        decide(s, c, items, resumed, e);
    if (agree(c->world, e))
        return -1;
    mem_free(s->indices);
    s->indices = NULL;
    sequence_list_broadcast(&s->partial, c->world, c->groups.leader[ROLE_STUDENT][0]);
    apply(s, items);
    return 0;
}

void stored_close(struct stored *s)
{
    store_close(s->store);
    sequence_list_release(&s->partial);
    mem_free(s->indices);
    *s = (struct stored){0};
}
