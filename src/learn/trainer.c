#include "learn/trainer.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/profile.h"
#include "label/record.h"
#include "learn/micro_batch.h"
#include "par/agree.h"
#include "par/failure.h"
#include "par/sum.h"

/* The encoded labels of one validation sequence. */
struct kept_record {
    int64_t item;
    void *bytes;
    size_t size;
};

struct trainer {
    struct train_spec spec;
    struct model *m;
    const struct groups *g;
    const struct corpus *corpus;
    const struct items *items;
    const struct label_source *source;

    struct tape *tape;
    struct loss *loss;
    struct micro_batch batch;
    struct record_reader *reader;
    struct label_set *sets; /* [sequences_per_micro_batch]: decoded labels of the micro-batch; memory is kept */
    int set_count;
    float *h, *dh; /* [tokens of a micro-batch, hidden] */

    struct buckets *buckets;
    int64_t *bounds;
    int bucket_count, started;
    struct optimizer optimizer;

    struct kept_record *kept;
    int kept_count;
    int64_t permitted; /* the last own item for which room was permitted */
    int ahead;         /* own items permitted and not yet in work */
    double label_wait, teacher_wait_before;
    struct arena arena;
};

/* --- life --- */

enum { BUCKET_ELEMENTS = 1 << 20 };

/* Bounds fall between parameters of different blocks, so that a bucket is full when a block's backward is done. */
static void make_bounds(struct trainer *t)
{
    const struct model *m = t->m;
    t->bounds = mem_array((size_t)m->config.layers + 3, sizeof *t->bounds);
    int n = 0;
    int64_t end = 0;
    for (int i = 0; i < m->param_count; i++) {
        const struct param *p = &m->params[i];
        if (!p->trainable)
            continue;
        bool block_ends = end && p->layer != m->params[i - 1].layer;
        if (block_ends && end - t->bounds[n] >= BUCKET_ELEMENTS)
            t->bounds[++n] = end;
        end = p->offset + param_elements(p);
    }
    if (end > t->bounds[n])
        t->bounds[++n] = end;
    t->bucket_count = n;
}

static int allocate(struct trainer *t, struct err *e)
{
    int64_t tokens = t->spec.sequences_per_micro_batch * t->spec.sequence_length;
    size_t floats = (size_t)(tokens * t->m->config.hidden_size);
    t->loss = loss_new(t->m, &t->spec.loss, tokens, e);
    if (!t->loss)
        return -1;
    t->h = arena_try(&t->arena, floats, sizeof(float));
    t->dh = arena_try(&t->arena, floats, sizeof(float));
    if (!t->h || !t->dh)
        return err_set(e, ERR_ENVIRONMENT, "no memory for the head's inputs of %lld tokens", (long long)tokens);
    return optimizer_init(&t->optimizer, t->m, t->buckets, t->bucket_count, t->g->replicas.rank, e);
}

/* How many blocks' activations fit into the limit beside what this rank holds; 0 and an error: not one's. */
static int kept_blocks(const struct trainer *t, int64_t tokens, struct err *e)
{
    enum { PROGRAM = 64 << 20 }; /* the program itself, its libraries and MPI's buffers */
    const size_t limit = (size_t)t->spec.memory_limit, held = mem_reserved() + PROGRAM;
    int kept = t->m->config.layers;
    if (!limit)
        return kept;
    while (kept > 0 && held + tape_bytes(t->m, tokens, kept) > limit)
        kept--;
    if (!kept)
        err_set(e, ERR_USAGE,
                "train.memory_limit: a rank needs %zu MiB at least here; lower train.micro_batch_tokens, or raise the "
                "limit or ranks.student.tensor_parallel",
                ((held + tape_bytes(t->m, tokens, 1)) >> 20) + 1);
    return kept;
}

/* As many on every rank: shards compute blocks together. */
static int allocate_tape(struct trainer *t, struct err *e)
{
    const int64_t tokens = t->spec.sequences_per_micro_batch * t->spec.sequence_length;
    const int layers = t->m->config.layers, kept = (int)comm_min(&t->g->group, kept_blocks(t, tokens, e));
    if (!kept)
        return -1;
    if (kept < layers && t->g->group.rank == 0)
        log_info("train.memory_limit: activations of %d of %d blocks are computed twice", layers - kept, layers);
    t->tape = tape_new(t->m, tokens, kept, e);
    return t->tape ? 0 : -1;
}

struct trainer *trainer_new(const struct train_spec *spec, struct model *student, const struct groups *g,
                            const struct corpus *c, const struct items *items, const struct label_source *source,
                            struct err *e)
{
    struct trainer *t = mem_alloc(sizeof *t);
    t->spec = *spec;
    t->m = student;
    t->g = g;
    t->corpus = c;
    t->items = items;
    t->source = source;
    t->permitted = -1;
    arena_init(&t->arena);
    micro_batch_init(&t->batch, spec->sequences_per_micro_batch * spec->sequence_length);
    t->reader = record_reader_new();
    t->sets = mem_array((size_t)spec->sequences_per_micro_batch, sizeof *t->sets);
    make_bounds(t);
    t->buckets = buckets_new(&g->replicas, t->bounds, t->bucket_count);
    allocate(t, e);
    if (!agree(&g->group, e)) {
        allocate_tape(t, e);
        if (!agree(&g->group, e))
            return t;
    }
    trainer_free(t);
    return NULL;
}

void trainer_free(struct trainer *t)
{
    if (!t)
        return;
    for (int64_t i = 0; t->sets && i < t->spec.sequences_per_micro_batch; i++)
        label_set_release(&t->sets[i]);
    mem_free(t->sets);
    record_reader_free(t->reader);
    for (int i = 0; i < t->kept_count; i++)
        mem_free(t->kept[i].bytes);
    mem_free(t->kept);
    micro_batch_release(&t->batch);
    loss_free(t->loss);
    tape_free(t->tape);
    optimizer_release(&t->optimizer);
    buckets_free(t->buckets);
    mem_free(t->bounds);
    arena_release(&t->arena);
    mem_free(t);
}

struct optimizer *trainer_optimizer(struct trainer *t)
{
    return &t->optimizer;
}

/* --- labels --- */

/* Keeps `window` own items permitted beyond those in work. */
static void permit_ahead(struct trainer *t)
{
    if (!t->source || !t->source->permit)
        return;
    int64_t end = items_end(t->items);
    for (; t->ahead < t->spec.window && t->permitted < end; t->ahead++)
        t->permitted = items_next_owned(t->items, t->g->me.replica, t->permitted);
    t->source->permit(t->source->context, t->permitted < end ? t->permitted + 1 : end);
}

/* The item is in work from now on: room for one more is permitted. */
static void *take_record(struct trainer *t, int64_t item, const struct sequence *s, size_t *size)
{
    permit_ahead(t);
    void *bytes = t->source->take(t->source->context, item, s, size, &t->label_wait);
    t->ahead--;
    permit_ahead(t);
    return bytes;
}

/* A record that does not fit its sequence cannot be repaired or skipped: every rank is told. */
static const struct label_set *decode(struct trainer *t, const struct sequence *s, const void *bytes, size_t size)
{
    struct err e = {0};
    struct label_set *set = &t->sets[t->set_count];
    if (record_reader_decode(t->reader, bytes, size, &t->spec.label, s->id, s->input_hash, t->spec.label_vocabulary,
                             set, &e))
        failure_raise(&e);
    t->set_count++;
    return set;
}

void trainer_take_validation(struct trainer *t)
{
    int64_t R = t->g->student.replicas;
    for (int64_t v = t->g->me.replica; v < t->items->validation; v += R) {
        struct sequence s = items_sequence(t->items, t->corpus, v);
        t->kept = mem_resize(t->kept, (size_t)t->kept_count + 1, sizeof *t->kept);
        struct kept_record *k = &t->kept[t->kept_count++];
        *k = (struct kept_record){.item = v};
        if (t->source)
            k->bytes = take_record(t, v, &s, &k->size);
    }
}

/* --- a step --- */

static struct sequence sequence_of(const struct trainer *t, int64_t step, int64_t i)
{
    return items_sequence(t->items, t->corpus, items_of_step(t->items, step) + i);
}

/* One denominator for the whole global batch, known before any backward. */
static void count_step(const struct trainer *t, int64_t step, int64_t *tokens, int64_t *supervised)
{
    *tokens = *supervised = 0;
    for (int64_t i = 0; i < t->spec.sequences_per_step; i++) {
        struct sequence s = sequence_of(t, step, i);
        *tokens += s.tokens;
        *supervised += s.labels;
    }
}

static void start_buckets(void *context, int64_t end)
{
    struct trainer *t = context;
    while (t->started < t->bucket_count && t->bounds[t->started + 1] <= end)
        buckets_start(t->buckets, t->started++, t->m->gradient);
}

/* Fills the batch with sequences i, i + R, ... of the step; returns the next i. */
static int64_t gather_micro_batch(struct trainer *t, int64_t step, int64_t i)
{
    int64_t R = t->g->student.replicas;
    t->set_count = 0;
    micro_batch_clear(&t->batch);
    for (int64_t k = 0; k < t->spec.sequences_per_micro_batch && i < t->spec.sequences_per_step; k++, i += R) {
        struct sequence s = sequence_of(t, step, i);
        const struct label_set *set = NULL;
        if (t->source) {
            size_t size;
            void *bytes = take_record(t, items_of_step(t->items, step) + i, &s, &size);
            set = decode(t, &s, bytes, size);
            mem_free(bytes);
        }
        micro_batch_add(&t->batch, &s, i, set);
    }
    return i;
}

static struct batch training_view(const struct trainer *t, int64_t step, bool last)
{
    struct batch b = micro_batch_view(&t->batch);
    b.place = t->batch.place;
    b.dropout_key = t->spec.seed * 0x9E3779B97F4A7C15u + (uint64_t)step;
    b.last = last;
    return b;
}

static void run_micro_batch(struct trainer *t, int64_t step, bool last, double weight, struct loss_sums *sums)
{
    struct batch b = training_view(t, step, last);
    profile_phase(PHASE_FORWARD);
    model_forward(t->m, t->tape, &b);
    model_final_norm(t->m, t->tape, t->batch.rows, t->batch.n, t->h);
    profile_phase(PHASE_LOSS);
    loss_run(t->loss, t->h, t->batch.targets, t->batch.n, weight, t->dh, sums);
    profile_phase(PHASE_BACKWARD);
    model_backward(t->m, t->tape, &b, t->batch.rows, t->batch.n, t->dh, start_buckets, t);
}

static double total_loss(const struct loss_spec *s, double kl, double ce)
{
    double T2 = s->temperature_squared ? s->temperature * s->temperature : 1;
    return s->alpha * T2 * kl + s->beta * ce;
}

/* Sums over replicas of what each knows of its own sequences; every shard of a replica knows the same. */
static void reduce_values(struct trainer *t, const struct loss_sums *sums, struct step_metrics *out)
{
    double teacher_wait = t->source && t->source->teacher_wait ? t->source->teacher_wait(t->source->context) : 0;
    double x[] = {sums->kl, sums->ce, t->label_wait, out->reduce_wait_seconds, teacher_wait - t->teacher_wait_before};
    t->teacher_wait_before = teacher_wait;
    sum_f64(&t->g->replicas, x, sizeof x / sizeof *x);
    double n = (double)out->supervised_tokens, R = t->g->student.replicas;
    out->kl = n > 0 ? x[0] / n : 0;
    out->ce = n > 0 ? x[1] / n : 0;
    out->loss = total_loss(&t->spec.loss, out->kl, out->ce);
    out->label_wait_seconds = x[2] / R;
    out->reduce_wait_seconds = x[3] / R;
    out->teacher_wait_seconds = x[4];
}

static void accumulate(struct trainer *t, int64_t step, struct step_metrics *out)
{
    struct loss_sums sums = {0};
    profile_phase(PHASE_BACKWARD);
    profile_op(OP_OPTIMIZER);
    memset(t->m->gradient, 0, (size_t)t->m->trainable_count * sizeof(float));
    t->started = 0;
    t->label_wait = 0;
    *out = (struct step_metrics){.step = step};
    count_step(t, step, &out->tokens, &out->supervised_tokens);
    double weight = out->supervised_tokens ? 1 / (double)out->supervised_tokens : 0;
    for (int64_t i = t->g->me.replica; i < t->spec.sequences_per_step;) {
        profile_phase(PHASE_OTHER);
        profile_op(OP_LABELS);
        i = gather_micro_batch(t, step, i);
        run_micro_batch(t, step, i >= t->spec.sequences_per_step, weight, &sums);
    }
    profile_phase(PHASE_REDUCE);
    profile_op(OP_REDUCE);
    start_buckets(t, t->m->trainable_count); /* a replica without a sequence brings zeros */
    out->reduce_wait_seconds = buckets_finish(t->buckets);
    double squares = optimizer_sum_squares(&t->optimizer);
    sum_f64(&t->g->group, &squares, 1);
    out->grad_norm = sqrt(squares);
    reduce_values(t, &sums, out);
}

static int check_step(const struct step_metrics *x, struct err *e)
{
    if (isfinite(x->loss) && isfinite(x->grad_norm))
        return 0;
    return err_set(e, ERR_INPUT,
                   "step %lld: the %s is not finite; lower train.optimizer.learning_rate or look at the data "
                   "of this step with `retort data --step %lld`",
                   (long long)x->step, isfinite(x->loss) ? "gradient" : "loss", (long long)x->step);
}

int trainer_step(struct trainer *t, int64_t step, struct step_metrics *out, struct err *e)
{
    double began = clock_seconds();
    accumulate(t, step, out);
    out->learning_rate = schedule_rate(&t->spec.schedule, step);
    if (check_step(out, e))
        return -1;
    struct adamw a = t->spec.adamw;
    a.learning_rate = out->learning_rate;
    a.step = step;
    a.scale = 1;
    if (t->spec.clip_norm > 0) /* as torch.nn.utils.clip_grad_norm_ */
        a.scale = (float)fmin(1, t->spec.clip_norm / (out->grad_norm + 1e-6));
    profile_phase(PHASE_UPDATE);
    profile_op(OP_OPTIMIZER);
    optimizer_step(&t->optimizer, &a);
    profile_phase(PHASE_REDUCE);
    profile_op(OP_REDUCE);
    buckets_gather(t->buckets, t->m->trainable);
    profile_phase(PHASE_OTHER);
    profile_op(OP_OTHER);
    out->seconds = clock_seconds() - began;
    return 0;
}

/* --- validation --- */

static void validate_some(struct trainer *t, int first, int end, struct loss_sums *sums, int64_t *tokens)
{
    t->set_count = 0;
    micro_batch_clear(&t->batch);
    for (int i = first; i < end; i++) {
        const struct kept_record *k = &t->kept[i];
        struct sequence s = items_sequence(t->items, t->corpus, k->item);
        micro_batch_add(&t->batch, &s, 0, k->bytes ? decode(t, &s, k->bytes, k->size) : NULL);
    }
    struct batch b = micro_batch_view(&t->batch);
    model_forward(t->m, t->tape, &b);
    model_final_norm(t->m, t->tape, t->batch.rows, t->batch.n, t->h);
    loss_run(t->loss, t->h, t->batch.targets, t->batch.n, 0, NULL, sums);
    *tokens += t->batch.T;
}

void trainer_validate(struct trainer *t, struct validation_metrics *out)
{
    double began = clock_seconds();
    struct loss_sums sums = {0};
    int64_t tokens = 0;
    int step = (int)t->spec.sequences_per_micro_batch;
    for (int i = 0; i < t->kept_count; i += step)
        validate_some(t, i, i + step < t->kept_count ? i + step : t->kept_count, &sums, &tokens);
    double x[] = {sums.kl, sums.ce, (double)sums.positions, (double)sums.correct, (double)tokens};
    sum_f64(&t->g->replicas, x, sizeof x / sizeof *x);
    double n = x[2] > 0 ? x[2] : 1;
    *out = (struct validation_metrics){
        .kl = x[0] / n,
        .ce = x[1] / n,
        .loss = total_loss(&t->spec.loss, x[0] / n, x[1] / n),
        .perplexity = exp(x[1] / n),
        .accuracy = x[3] / n,
        .supervised_tokens = (int64_t)x[2],
        .tokens = (int64_t)x[4],
        .seconds = clock_seconds() - began,
    };
}
