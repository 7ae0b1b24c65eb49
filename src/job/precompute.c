/* precompute: all ranks are teacher replicas and fill the label store. What it lacks is a list that the root makes and
 * every rank knows; replicas claim ranges of it (par/claims.h) of about half a minute of their own work. A range counts
 * as done once its records are on the disk, so a job that is killed loses at most the ranges in work. */
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/integer.h"
#include "base/log.h"
#include "base/mem.h"
#include "job/label_store.h"
#include "job/modes.h"
#include "job/sequence_list.h"
#include "learn/teacher.h"
#include "par/agree.h"
#include "par/claims.h"
#include "par/failure.h"
#include "par/progress.h"

#define RANGE_SECONDS 30.0

struct precompute {
    struct context *c;
    struct sequence_list todo;
    int64_t total;  /* of this job's part, with what the store had before */
    double tokens;  /* a sequence, on average over todo */
    int generation; /* of the files that this job writes */
    char *owner;

    struct teacher *teacher;
    struct store_append *append; /* leaders */
    struct claims *claims;
    int64_t range;     /* leaders: how much was last asked for */
    int64_t next, end; /* what is left of the range in work, places in todo */
    int64_t untold;    /* and what of it is made */

    double began, worked; /* seconds: when work began; spent on own sequences */
    int64_t made;         /* own sequences */
};

static bool leads(const struct precompute *p)
{
    return groups_leads(&p->c->groups);
}

static bool is_asked_to_stop(const struct precompute *p)
{
    return *p->c->options->stop != 0;
}

/* --- what is to be done: the root finds out --- */

static struct items items_of(const struct context *c)
{
    return (struct items){
        .train = {.seed = (uint64_t)c->job->seed, .count = corpus_count(c->corpus, SPLIT_TRAIN)},
        .validation = corpus_count(c->corpus, SPLIT_VALIDATION),
        .per_step = context_steps_sequences(c->job),
        .first_step = 1,
        .steps = c->job->train.steps,
        .students = 1,
        .teachers = 1,
    };
}

static long variable(const char *name, long fallback)
{
    const char *text = getenv(name);
    return text && *text ? strtol(text, NULL, 10) : fallback;
}

/* The job's part, or inside a Slurm array the task's. */
static void find_part(const struct job *job, int *k, int *n)
{
    const long tasks = variable("SLURM_ARRAY_TASK_COUNT", 0), first = variable("SLURM_ARRAY_TASK_MIN", 0);
    const long step = variable("SLURM_ARRAY_TASK_STEP", 1), me = variable("SLURM_ARRAY_TASK_ID", first);
    *k = job->labels.part;
    *n = job->labels.parts;
    if (*n || tasks < 2 || step < 1 || me < first || (me - first) / step >= tasks)
        return;
    *k = (int)((me - first) / step) + 1;
    *n = (int)tasks;
    log_info("labels.part: %d/%d, as the Slurm array's task %ld", *k, *n, me);
}

static void list_wanted(struct precompute *p)
{
    const struct context *c = p->c;
    const struct items items = items_of(c);
    int k, n;
    if (c->job->labels.whole_corpus)
        sequence_list_all(&p->todo, c->corpus);
    else
        sequence_list_of_items(&p->todo, &items, c->corpus);
    find_part(c->job, &k, &n);
    if (n)
        sequence_list_part(&p->todo, k, n);
    p->total = p->todo.count;
}

static int look(struct precompute *p, struct err *e)
{
    const struct job *job = p->c->job;
    struct store_description d;
    struct store *s;
    if (label_store_description(&d, p->c, true, e) || store_create(job->labels.store, &d, e) ||
        store_open(&s, job->labels.store, e))
        return -1;
    list_wanted(p);
    label_store_warn(s, job);
    sequence_list_keep(&p->todo, s, false);
    store_close(s);
    return 0;
}

/* Only a job that writes takes a number, and has a log. */
static int join(struct precompute *p, struct err *e)
{
    const struct run_observer *o = p->c->options->observer;
    const char *directory = p->c->job->labels.store;
    if (!p->todo.count)
        return 0;
    if (store_join(directory, p->owner, &p->generation, e))
        return -1;
    char *path = mem_printf("%s/log-%06d.txt", directory, p->generation);
    o->log(o->context, path);
    mem_free(path);
    return 0;
}

/* Collective over world. */
static int plan(struct precompute *p, struct err *e)
{
    const struct context *c = p->c;
    p->owner = label_store_owner("job", c->job->name);
    if (c->root && !look(p, e))
        join(p, e);
    if (agree(c->world, e))
        return -1;
    if (c->root)
        log_info("%s: %lld of %lld sequences are labelled", c->job->labels.store, (long long)(p->total - p->todo.count),
                 (long long)p->total);
    sequence_list_broadcast(&p->todo, &c->groups.group, 0);
    comm_broadcast(&c->groups.group, &p->total, sizeof p->total, 0);
    comm_broadcast(&c->groups.group, &p->generation, sizeof p->generation, 0);
    for (int64_t i = 0; i < p->todo.count; i++)
        p->tokens += (double)corpus_find(c->corpus, p->todo.ids[i]).tokens / (double)p->todo.count;
    return 0;
}

/* --- working --- */

static int open_all(struct precompute *p, struct err *e)
{
    struct context *c = p->c;
    const struct label_spec spec = context_label_spec(c);
    if (context_open_models(c, false, e))
        return -1;
    p->teacher = teacher_new(c->teacher, &spec, c->teacher_allowed, c->job->data.sequence_length, e);
    if (p->teacher && leads(p))
        store_append_new(&p->append, c->job->labels.store, p->generation, c->groups.me.replica, p->owner,
                         STORE_FILE_MOST, e);
    p->claims = claims_new(&c->groups.group, p->todo.count, c->groups.teacher.replicas);
    return agree(c->world, e);
}

static void close_all(struct precompute *p)
{
    claims_free(p->claims);
    store_append_free(p->append);
    teacher_free(p->teacher);
    sequence_list_release(&p->todo);
    mem_free(p->owner);
}

/* The others may stand in a sum of this replica's shards, or anywhere. */
static void raise_if(int failed, const struct err *e)
{
    if (failed)
        failure_raise(e);
}

/* Twice as much as the last time at most: the first sequences may be short ones. */
static int64_t range_wanted(const struct precompute *p)
{
    const double fit = p->worked > 0 ? RANGE_SECONDS / p->worked * (double)p->made : 1;
    return max_i64(1, (int64_t)fmin(fit, 2 * (double)p->range));
}

/* What is made is acknowledged before more is claimed: it is on the disk now. */
static void claim(struct precompute *p)
{
    struct err e = {0};
    int64_t count;
    raise_if(store_append_sync(p->append, &e), &e);
    p->range = range_wanted(p);
    claims_next(p->claims, p->range, p->untold, &p->next, &count);
    p->end = p->next + count;
    p->untold = 0;
}

/* Collective over the shards of a replica: the place in todo that comes next, or -1. Between two sequences a replica of
 * one shard hears of other ranks' failures here alone, and without a communication thread the coordinator answers here.
 */
static int64_t next_place(struct precompute *p)
{
    progress_poll();
    const bool stop = is_asked_to_stop(p);
    int64_t place = -1;
    if (stop)
        claims_stop(p->claims);
    if (leads(p)) {
        if (stop || p->next == p->end)
            claim(p);
        if (p->next < p->end)
            place = p->next++;
    }
    comm_broadcast(&p->c->groups.shards, &place, sizeof place, 0);
    return place;
}

static void label(struct precompute *p, int64_t place)
{
    const struct sequence s = corpus_find(p->c->corpus, p->todo.ids[place]);
    struct err e = {0};
    size_t size;
    void *record = teacher_label(p->teacher, &s, &size);
    if (leads(p))
        raise_if(store_append(p->append, record, size, &e), &e);
    mem_free(record);
    p->untold += leads(p);
    p->made++;
}

/* On the coordinator, which is the root. What its own replica has made since it last claimed counts, too. */
static int64_t left(const struct precompute *p)
{
    return p->todo.count - claims_done(p->claims) - p->untold;
}

static void report(const struct precompute *p)
{
    const struct run_observer *o = p->c->options->observer;
    const int64_t not_done = left(p), done = p->todo.count - not_done;
    const double seconds = clock_seconds() - p->began, rate = seconds > 0 ? (double)done / seconds : 0;
    const struct label_progress progress = {
        .done = p->total - not_done,
        .total = p->total,
        .tokens_per_second = rate * p->tokens,
        .seconds_left = rate > 0 ? (double)not_done / rate : 0,
    };
    o->labels(o->context, &progress);
}

static void work(struct precompute *p)
{
    p->began = clock_seconds();
    for (int64_t place; (place = next_place(p)) >= 0;) {
        const double began = clock_seconds();
        label(p, place);
        p->worked += clock_seconds() - began;
        if (p->c->root && left(p)) /* the last line comes when all is on the disk */
            report(p);
    }
}

/* All have told what they have done: the same on every rank. */
static int end(struct precompute *p, struct err *e)
{
    const struct context *c = p->c;
    if (p->append)
        store_append_seal(p->append, e);
    if (agree(c->world, e))
        return -1;
    int64_t not_done = c->root ? left(p) : 0;
    comm_broadcast(&c->groups.group, &not_done, sizeof not_done, 0);
    if (c->root)
        report(p);
    if (!not_done)
        return 0;
    return err_set(e, ERR_STOPPED,
                   "stopped on request: %lld of %lld sequences are labelled; the same command goes on with the others",
                   (long long)(p->total - not_done), (long long)p->total);
}

int mode_precompute(struct context *c, struct err *e)
{
    struct precompute p = {.c = c};
    if (!plan(&p, e) && p.todo.count && !open_all(&p, e)) {
        work(&p);
        end(&p, e);
        context_log_memory(c);
    }
    close_all(&p);
    return agree(c->world, e);
}
