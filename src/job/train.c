/* distill and finetune. Teachers serve labels in the order of items; students train, validate, keep checkpoints, and
 * leave a model or an adapter that people can use. */
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "job/modes.h"
#include "job/run_directory.h"
#include "job/sources.h"
#include "job/stored.h"
#include "learn/checkpoint.h"
#include "learn/metrics.h"
#include "model/head.h"
#include "model/save.h"
#include "par/agree.h"
#include "par/failure.h"

struct training {
    struct context *c;
    struct run_start start;
    struct items items;
    struct stream *stream;   /* NULL: labels are not streamed */
    struct teacher *teacher; /* on ranks that run one */
    struct stored stored;
    struct cache cache; /* items.stored NULL: there is none */
    struct stream_source streamed;
    struct cached_source cached;
    struct store_source from_store;
    struct label_source source;
    struct trainer *trainer; /* students */
    struct head *head;       /* the teacher's, where labels are its hidden states */
    int64_t join_step;       /* after it all ranks become students; 0: never */
    struct metrics *metrics; /* root */
};

/* --- setting up --- */

/* Collective over world: the root looks into the run directory, all begin alike. */
static int begin(struct training *t, struct err *e)
{
    struct context *c = t->c;
    if (c->root)
        run_directory_begin(&t->start, c->job, c->options, e);
    if (agree(c->world, e))
        return -1;
    long root = comm_max(c->world, c->root ? c->world->rank : -1);
    comm_broadcast(c->world, &t->start, sizeof t->start, (int)root);
    if (c->root && !t->start.finished)
        run_directory_log(c->job, c->options, TRAINING_LOG);
    return 0;
}

static struct items items_of(const struct training *t)
{
    const struct context *c = t->c;
    int teachers = c->groups.teacher.replicas;
    return (struct items){
        .train = {.seed = (uint64_t)c->job->seed, .count = corpus_count(c->corpus, SPLIT_TRAIN)},
        .validation = corpus_count(c->corpus, SPLIT_VALIDATION),
        .per_step = context_steps_sequences(c->job),
        .first_step = t->start.checkpoint + 1,
        .steps = c->job->train.steps,
        .students = c->groups.student.replicas,
        .teachers = teachers ? teachers : 1,
    };
}

enum { MICRO_BATCH_TOKENS = 2048 }; /* auto: enough rows to fill the GEMMs; more only costs memory */

static int64_t sequences_per_micro_batch(const struct context *c)
{
    const struct job *job = c->job;
    int64_t B = context_steps_sequences(job), R = c->groups.student.replicas, most = (B + R - 1) / R;
    int64_t tokens = job->train.micro_batch_tokens ? job->train.micro_batch_tokens : MICRO_BATCH_TOKENS;
    int64_t n = tokens / job->data.sequence_length;
    if (n > most)
        n = most;
    return n > 0 ? n : 1;
}

static struct train_spec train_spec_of(const struct context *c)
{
    const struct job *job = c->job;
    static const enum schedule_name names[] = {
        [SCHEDULE_CONSTANT] = SCHEDULE_KIND_CONSTANT,
        [SCHEDULE_LINEAR] = SCHEDULE_KIND_LINEAR,
        [SCHEDULE_COSINE] = SCHEDULE_KIND_COSINE,
    };
    bool labels = job->mode == MODE_DISTILL;
    return (struct train_spec){
        .seed = (uint64_t)job->seed,
        .steps = job->train.steps,
        .sequences_per_step = context_steps_sequences(job),
        .sequences_per_micro_batch = sequences_per_micro_batch(c),
        .sequence_length = job->data.sequence_length,
        .adamw = {.beta1 = job->train.optimizer.betas[0],
                  .beta2 = job->train.optimizer.betas[1],
                  .eps = job->train.optimizer.eps,
                  .weight_decay = job->train.optimizer.weight_decay},
        .schedule = {names[job->train.schedule.name], job->train.optimizer.learning_rate,
                     job->train.schedule.final_ratio, job->train.schedule.warmup_steps, job->train.steps},
        .clip_norm = job->train.clip_norm,
        .loss = {.temperature = job->distill.temperature,
                 .alpha = labels ? job->distill.alpha : 0,
                 .beta = labels ? job->distill.beta : 1,
                 .temperature_squared = job->distill.temperature_squared,
                 .tail = job->labels.encoding.kind == ENCODING_TOP_K,
                 .allowed = c->student_allowed},
        .labels = labels,
        .label = context_label_spec(c),
        .label_vocabulary = (uint32_t)c->allowed_end,
        .window = job->labels.window,
        .memory_limit = job->train.memory_limit,
    };
}

static int open_teacher(struct training *t, struct err *e)
{
    struct context *c = t->c;
    if (!c->teacher)
        return 0;
    struct label_spec spec = context_label_spec(c);
    t->teacher = teacher_new(c->teacher, &spec, c->teacher_allowed, c->job->data.sequence_length, e);
    return t->teacher ? 0 : -1;
}

static int open_head(struct training *t, struct loss_spec *loss, struct err *e)
{
    const struct context *c = t->c;
    const struct job *job = c->job;
    loss->teacher_precision = context_precision(job->teacher.precision);
    if (head_open(&t->head, job->teacher.model, loss->teacher_precision, c->student->shard.vocab,
                  job_where(job, "teacher.model"), e))
        return -1;
    loss->teacher_head = head_matrix(t->head);
    return 0;
}

static int open_student(struct training *t, struct err *e)
{
    struct context *c = t->c;
    struct train_spec spec = train_spec_of(c);
    if (spec.labels && spec.label.kind == LABEL_HIDDEN)
        open_head(t, &spec.loss, e);
    if (agree(&c->groups.group, e))
        return -1;
    if (t->items.stored) {
        t->cached = (struct cached_source){{t->stream, &c->groups, &t->items}, &t->cache, c->corpus};
        t->source = source_cached(&t->cached);
    } else if (t->stream) {
        t->streamed = (struct stream_source){t->stream, &c->groups, &t->items};
        t->source = source_stream(&t->streamed);
    } else if (t->teacher) {
        t->source = source_local(t->teacher);
    } else if (spec.labels) {
        t->from_store = (struct store_source){t->stored.store, &c->groups, &t->items, c->corpus};
        t->source = source_store(&t->from_store);
    }
    t->trainer =
        trainer_new(&spec, c->student, &c->groups, c->corpus, &t->items, t->source.take ? &t->source : NULL, e);
    if (!t->trainer)
        return -1;
    if (t->start.checkpoint && checkpoint_load(c->job->output, t->start.checkpoint, c->student,
                                               trainer_optimizer(t->trainer), &c->groups.group, e))
        return -1;
    if (c->root)
        metrics_open(&t->metrics, c->job->output, t->start.checkpoint ? t->start.checkpoint : -1, e);
    return agree(&c->groups.group, e);
}

static bool is_cached(const struct job *job)
{
    return job->mode == MODE_DISTILL && job->labels.source == SOURCE_STREAM && job->labels.cache;
}

/* ranks.after_cache: join. Every rank finds the same. */
static int plan_joining(struct training *t, struct err *e)
{
    const struct job *job = t->c->job;
    const int ranks = t->c->world->size, each = job->ranks.student.tensor_parallel;
    if (job->ranks.after_cache != AFTER_CACHE_JOIN)
        return 0;
    if (ranks % each)
        return err_set(e, ERR_USAGE,
                       "%s: join: all %d ranks become students, but they are no multiple of "
                       "ranks.student.tensor_parallel, %d; start another number, or let them idle",
                       job_where(job, "ranks.after_cache"), ranks, each);
    const int64_t step = cache_last_streamed(&t->cache, &t->items);
    t->join_step = step < t->items.steps ? step : 0;
    return 0;
}

static int open_roles(struct training *t, struct err *e)
{
    struct context *c = t->c;
    t->items = items_of(t);
    if (c->job->mode == MODE_DISTILL && stored_open(&t->stored, c, &t->items, t->start.checkpoint, e))
        return -1;
    if (is_cached(c->job) && (cache_open(&t->cache, c, &t->items, e) || plan_joining(t, e)))
        return -1;
    if (context_open_models(c, true, e))
        return -1;
    if (c->groups.teacher.replicas && c->groups.student.replicas)
        t->stream = stream_new(&c->groups);
    open_teacher(t, e);
    if (agree(c->world, e))
        return -1;
    if (c->groups.me.role == ROLE_STUDENT)
        open_student(t, e);
    return agree(c->world, e);
}

static void close_roles(struct training *t)
{
    trainer_free(t->trainer);
    metrics_close(t->metrics);
    head_close(t->head);
    teacher_free(t->teacher);
    stream_free(t->stream);
    stored_close(&t->stored);
    cache_close(&t->cache);
}

/* --- training --- */

static int validate(struct training *t, int64_t step, struct err *e)
{
    const struct run_observer *o = t->c->options->observer;
    struct validation_metrics v;
    if (!t->items.validation)
        return 0;
    trainer_validate(t->trainer, &v);
    if (t->metrics && !metrics_validation(t->metrics, step, &v, e))
        o->validation(o->context, step, &v);
    return agree(&t->c->groups.group, e);
}

static bool is_due(int64_t every, int64_t step, int64_t steps)
{
    return every && (step % every == 0 || step == steps);
}

/* A signal reaches some students sooner than others: all stop after the same step. */
static bool must_stop(const struct training *t, int64_t step)
{
    const bool asked = comm_max(&t->c->groups.group, *t->c->options->stop != 0);
    return asked && step < t->c->job->train.steps;
}

static int checkpoint(struct training *t, int64_t step, struct err *e)
{
    const struct job *job = t->c->job;
    if (t->items.stored && cache_sync(&t->cache, false, e)) /* what a resumed run does not ask for again */
        return -1;
    return checkpoint_save(job->output, step, trainer_optimizer(t->trainer), &t->c->groups, job->train.keep_checkpoints,
                           e);
}

static int one_step(struct training *t, int64_t step, struct err *e)
{
    const struct job *job = t->c->job;
    const struct run_observer *o = t->c->options->observer;
    struct step_metrics m;
    if (trainer_step(t->trainer, step, &m, e))
        return -1;
    if (t->metrics && !metrics_step(t->metrics, &m, e))
        o->step(o->context, &m, job->train.steps);
    if (agree(&t->c->groups.group, e))
        return -1;
    if (is_due(job->train.evaluate_every, step, job->train.steps) && validate(t, step, e))
        return -1;
    if (t->items.stored && cache_renew(&t->cache, &t->items, step, e))
        return -1;
    bool stop = must_stop(t, step);
    if ((stop || is_due(job->train.checkpoint_every, step, job->train.steps)) && checkpoint(t, step, e))
        return -1;
    if (stop)
        return err_set(e, ERR_STOPPED,
                       "stopped on request after step %lld; the same command goes on from its checkpoint",
                       (long long)step);
    return 0;
}

/* model/ or adapter/, written by the shards of the first replica under a temporary name. */
static int write_result(struct training *t, const char *temporary, struct err *e)
{
    const struct context *c = t->c;
    const struct job *job = c->job;
    if (c->root && !file_remove_tree(temporary, e))
        file_make_directories(temporary, e);
    if (agree(&c->groups.shards, e))
        return -1;
    if (job->student.method != METHOD_FULL)
        return model_save_adapter(c->student, temporary, job->student.model, e);
    enum dtype dtype = job->student.precision == JOB_BF16 ? DTYPE_BF16 : DTYPE_F32;
    if (model_save(c->student, temporary, dtype, false, e))
        return -1;
    if (c->root)
        tokenizer_write(c->tokenizer, temporary, e);
    return agree(&c->groups.shards, e);
}

static int save_result(struct training *t, struct err *e)
{
    const struct context *c = t->c;
    char *final = file_join(c->job->output, run_directory_result(c->job)), *temporary = mem_printf("%s.tmp", final);
    if (c->groups.me.replica == 0)
        write_result(t, temporary, e);
    if (c->root && e->code == ERR_NONE) {
        if (!file_remove_tree(final, e) && rename(temporary, final))
            err_errno(e, "%s: cannot rename to it", final);
        else if (e->code == ERR_NONE)
            log_info("wrote %s", final);
    }
    mem_free(temporary);
    mem_free(final);
    return agree(&c->groups.group, e);
}

/* An old result must not stand there while a longer run goes on: finished is what has one. */
static int remove_old_result(const struct training *t, struct err *e)
{
    char *path = file_join(t->c->job->output, run_directory_result(t->c->job));
    if (t->c->root)
        file_remove_tree(path, e);
    mem_free(path);
    return agree(&t->c->groups.group, e);
}

/* Every label that is still wanted is in the store, and all that is trained in a checkpoint. */
static int leave_to_join(struct training *t, int64_t step, struct err *e)
{
    const struct job *job = t->c->job;
    if (!is_due(job->train.checkpoint_every, step, job->train.steps) && checkpoint(t, step, e))
        return -1;
    if (cache_sync(&t->cache, true, e))
        return -1;
    if (t->c->root)
        log_info("ranks.after_cache: from step %lld on all %d ranks are students", (long long)step + 1,
                 t->c->world->size);
    return 0;
}

static int train(struct training *t, struct err *e)
{
    if (remove_old_result(t, e))
        return -1;
    trainer_take_validation(t->trainer);
    if (!t->start.checkpoint && validate(t, 0, e))
        return -1;
    for (int64_t step = t->items.first_step; step <= t->items.steps; step++)
        if (one_step(t, step, e) || step == t->join_step)
            return e->code == ERR_NONE ? leave_to_join(t, step, e) : -1;
    if (t->items.stored && cache_sync(&t->cache, true, e))
        return -1;
    return save_result(t, e);
}

/* Students may go on for long with labels from a store, on the same hosts. */
static void rest(struct training *t)
{
    teacher_free(t->teacher);
    model_close(t->c->teacher);
    t->teacher = NULL;
    t->c->teacher = NULL;
}

static void run_role(struct training *t, struct err *e)
{
    const struct context *c = t->c;
    if (c->groups.me.role == ROLE_TEACHER) {
        serve_labels(t->teacher, t->stream, &c->groups, &t->items, c->corpus);
        rest(t);
        return;
    }
    /* students agree among themselves; teachers, who may wait for a permit, have to be told: the root does, and the
     * other students wait here until they hear it */
    if (train(t, e) && t->stream) {
        if (c->root)
            failure_raise(e);
        comm_barrier(c->world);
    }
}

static int run(struct training *t, struct err *e)
{
    struct context *c = t->c;
    if (!open_roles(t, e)) {
        run_role(t, e);
        context_log_memory(c);
    }
    close_roles(t);
    c->join_step = t->join_step;
    return agree(c->world, e);
}

int mode_train_on(struct context *c, int64_t step, struct err *e)
{
    struct training t = {.c = c, .start = {.checkpoint = step}};
    if (c->root) /* another rank than before, maybe */
        run_directory_log(c->job, c->options, TRAINING_LOG);
    return run(&t, e);
}

int mode_train(struct context *c, struct err *e)
{
    struct training t = {.c = c};
    if (begin(&t, e))
        return -1;
    if (t.start.finished) {
        if (c->root)
            log_info("%s: this run is finished; --fresh runs it anew", c->job->output);
        return 0;
    }
    if (c->root && t.start.checkpoint)
        log_info("going on after step %lld", (long long)t.start.checkpoint);
    return run(&t, e);
}
