/* evaluate: teacher, untrained student and trained student on the validation data, with exact labels: the teacher's
 * whole distribution at temperature 1 (top_k, k = vocabulary, f32), streamed in fragments of label positions, because
 * the dense labels of a sequence are too large to stand in memory at once. */
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "job/modes.h"
#include "job/run_directory.h"
#include "job/sources.h"
#include "label/record.h"
#include "label/stream.h"
#include "learn/checkpoint.h"
#include "learn/micro_batch.h"
#include "learn/teacher.h"
#include "par/agree.h"
#include "par/failure.h"
#include "par/sum.h"

enum { FRAGMENT_ROWS = 64 };
enum { TEACHER, STUDENT_BEFORE, STUDENT_AFTER, MODELS };
static const char *const model_names[MODELS] = {"teacher", "student_before", "student_after"};

/* One model's part on this rank. m NULL: not here. */
struct evaluated {
    struct model *m;
    struct tape *tape;
    struct loss *loss;
    float *h;
    struct loss_sums sums;
    double seconds;
    int64_t tokens;
};

struct evaluation {
    struct context *c;
    struct label_spec spec;
    struct evaluated models[MODELS];
    bool has_after;
    struct teacher *teacher;
    struct stream *stream; /* NULL: the teacher is in the same ranks */
    struct micro_batch batch;
    int64_t *first_item; /* [sequences + 1]: number of each validation sequence's first fragment */
    int64_t sequences;
};

/* --- setting up --- */

static int64_t count_bits(const uint64_t *bits, int64_t end)
{
    int64_t n = 0;
    for (int64_t i = 0; i < (end + 63) / 64; i++)
        n += __builtin_popcountll(bits[i]);
    return n;
}

static struct label_spec dense_spec(const struct context *c)
{
    return (struct label_spec){.kind = LABEL_TOP_K,
                               .values = VALUES_F32,
                               .k = count_bits(c->allowed, c->allowed_end),
                               .temperature = 1,
                               .seed = (uint64_t)c->job->labels.seed};
}

static void number_fragments(struct evaluation *v)
{
    v->sequences = corpus_count(v->c->corpus, SPLIT_VALIDATION);
    v->first_item = mem_array((size_t)v->sequences + 1, sizeof *v->first_item);
    for (int64_t i = 0; i < v->sequences; i++) {
        struct sequence s = corpus_sequence(v->c->corpus, SPLIT_VALIDATION, i);
        v->first_item[i + 1] = v->first_item[i] + (s.labels + FRAGMENT_ROWS - 1) / FRAGMENT_ROWS;
    }
}

static int open_evaluated(struct evaluation *v, struct evaluated *x, const uint64_t *allowed, bool with_tape,
                          struct err *e)
{
    int64_t tokens = v->c->job->data.sequence_length;
    struct loss_spec spec = {.temperature = 1, .alpha = 1, .allowed = allowed};
    x->loss = loss_new(x->m, &spec, tokens, e);
    if (!x->loss || !with_tape)
        return x->loss ? 0 : -1;
    x->tape = tape_new(x->m, tokens, TAPE_INFERENCE, e);
    x->h = mem_array((size_t)(tokens * x->m->config.hidden_size), sizeof *x->h);
    return x->tape ? 0 : -1;
}

/* The trained student: the run's result, else its newest checkpoint; none of both leaves the row out. */
static int open_trained_student(struct evaluation *v, struct err *e)
{
    struct context *c = v->c;
    const struct job *job = c->job;
    struct model **out = &v->models[STUDENT_AFTER].m;
    char *model = file_join(job->output, "model"), *adapter = file_join(job->output, "adapter");
    int64_t step = checkpoint_newest(job->output);
    int rc = 0;
    if (file_exists(model))
        rc = context_open_model(c, model, NULL, job->student.precision, "output", out, e);
    else if (file_exists(adapter))
        rc = context_open_model(c, job->student.model, adapter, job->student.precision, "student.model", out, e);
    else if (step)
        rc = context_open_checkpoint(c, step, out, e);
    mem_free(model);
    mem_free(adapter);
    return rc;
}

static int open_students(struct evaluation *v, struct err *e)
{
    struct context *c = v->c;
    v->models[STUDENT_BEFORE].m = c->student;
    if (open_trained_student(v, e))
        return -1;
    v->has_after = v->models[STUDENT_AFTER].m != NULL;
    if (!v->has_after && c->root)
        log_info("%s: no trained student yet; its row is left out", c->job->output);
    for (int i = STUDENT_BEFORE; i < MODELS; i++)
        if (v->models[i].m && open_evaluated(v, &v->models[i], c->student_allowed, true, e))
            break;
    return agree(&c->groups.shards, e);
}

static int open_all(struct evaluation *v, struct err *e)
{
    struct context *c = v->c;
    if (context_open_models(c, false, e))
        return -1;
    v->spec = dense_spec(c);
    number_fragments(v);
    if (c->groups.teacher.replicas && c->groups.student.replicas)
        v->stream = stream_new(&c->groups);
    if (c->groups.me.role == ROLE_STUDENT)
        open_students(v, e);
    if (agree(c->world, e) || !c->teacher)
        return agree(c->world, e);
    v->models[TEACHER].m = c->teacher;
    v->teacher = teacher_new(c->teacher, &v->spec, c->teacher_allowed, c->job->data.sequence_length, e);
    if (v->teacher)
        open_evaluated(v, &v->models[TEACHER], NULL, false, e);
    return agree(c->world, e);
}

static void close_all(struct evaluation *v)
{
    for (int i = 0; i < MODELS; i++) {
        loss_free(v->models[i].loss);
        tape_free(v->models[i].tape);
        mem_free(v->models[i].h);
    }
    model_close(v->models[STUDENT_AFTER].m); /* the others belong to the context */
    teacher_free(v->teacher);
    stream_free(v->stream);
    micro_batch_release(&v->batch);
    mem_free(v->first_item);
}

/* --- running --- */

/* The teacher's own quality, and its state for the fragments of this sequence. */
static void teacher_sequence(struct evaluation *v, const struct sequence *s)
{
    struct evaluated *x = &v->models[TEACHER];
    double began = clock_seconds();
    teacher_read(v->teacher, s);
    loss_run(x->loss, teacher_hidden(v->teacher), teacher_targets(v->teacher), s->labels, 0, NULL, &x->sums);
    x->seconds += clock_seconds() - began;
    x->tokens += s->tokens;
}

static int64_t fragment_rows(const struct sequence *s, int64_t first)
{
    return s->labels - first < FRAGMENT_ROWS ? s->labels - first : FRAGMENT_ROWS;
}

static void serve(struct evaluation *v)
{
    const struct groups *g = &v->c->groups;
    for (int64_t i = g->me.replica; i < v->sequences; i += g->teacher.replicas) {
        struct sequence s = corpus_sequence(v->c->corpus, SPLIT_VALIDATION, i);
        int owner = (int)(i % g->student.replicas);
        teacher_sequence(v, &s);
        for (int64_t item = v->first_item[i], first = 0; item < v->first_item[i + 1]; item++, first += FRAGMENT_ROWS) {
            size_t size;
            if (groups_leads(&v->c->groups))
                stream_wait_permit(v->stream, owner, item);
            void *bytes = teacher_encode(v->teacher, &s, first, fragment_rows(&s, first), &size);
            if (groups_leads(&v->c->groups))
                stream_send(v->stream, owner, item, bytes, size);
        }
    }
}

/* Permits the next fragment that this student will want, while this one is in work. */
static void permit(struct evaluation *v, int64_t sequence, int64_t item)
{
    const struct groups *g = &v->c->groups;
    int64_t next_sequence = sequence + g->student.replicas, limit = item + 2;
    if (item + 1 == v->first_item[sequence + 1] && next_sequence < v->sequences)
        limit = v->first_item[next_sequence] + 1;
    stream_permit(v->stream, limit);
}

static void *take_fragment(struct evaluation *v, const struct sequence *s, int64_t sequence, int64_t item,
                           int64_t first, size_t *size)
{
    const struct groups *g = &v->c->groups;
    void *bytes = NULL;
    double waited = 0;
    if (v->teacher) {
        bytes = teacher_encode(v->teacher, s, first, fragment_rows(s, first), size);
    } else if (groups_leads(&v->c->groups)) {
        permit(v, sequence, item);
        bytes = stream_take(v->stream, (int)(sequence % g->teacher.replicas), item, size, &waited);
    }
    comm_broadcast_buffer(&g->shards, &bytes, size, 0);
    return bytes;
}

static void student_sequence(struct evaluation *v, struct evaluated *x, const struct sequence *s)
{
    double began = clock_seconds();
    struct batch b = micro_batch_view(&v->batch);
    model_forward(x->m, x->tape, &b);
    model_final_norm(x->m, x->tape, v->batch.rows, v->batch.n, x->h);
    x->seconds += clock_seconds() - began;
    x->tokens += s->tokens;
}

/* The rows of one fragment against their labels, for each student. */
static void student_fragment(struct evaluation *v, const struct label_set *set, int64_t first)
{
    struct target *targets = v->batch.targets + first;
    for (int j = 0; j < set->labels; j++) {
        targets[j].set = set;
        targets[j].label = j;
    }
    for (int i = STUDENT_BEFORE; i < MODELS; i++) {
        struct evaluated *x = &v->models[i];
        if (!x->m)
            continue;
        double began = clock_seconds();
        loss_run(x->loss, x->h + first * x->m->config.hidden_size, targets, set->labels, 0, NULL, &x->sums);
        x->seconds += clock_seconds() - began;
    }
}

static void run_fragments(struct evaluation *v, const struct sequence *s, int64_t sequence)
{
    for (int64_t item = v->first_item[sequence], first = 0; item < v->first_item[sequence + 1];
         item++, first += FRAGMENT_ROWS) {
        struct label_set set;
        struct err e = {0};
        size_t size;
        void *bytes = take_fragment(v, s, sequence, item, first, &size);
        if (record_decode(bytes, size, &v->spec, s->id, s->input_hash, (uint32_t)v->c->allowed_end, &set, &e))
            failure_raise(&e);
        student_fragment(v, &set, first);
        label_set_release(&set);
        mem_free(bytes);
    }
}

static void study(struct evaluation *v)
{
    const struct groups *g = &v->c->groups;
    if (v->stream && groups_leads(&v->c->groups) && g->me.replica < v->sequences)
        stream_permit(v->stream, v->first_item[g->me.replica] + 1);
    for (int64_t i = g->me.replica; i < v->sequences; i += g->student.replicas) {
        struct sequence s = corpus_sequence(v->c->corpus, SPLIT_VALIDATION, i);
        micro_batch_clear(&v->batch);
        micro_batch_add(&v->batch, &s, 0, NULL);
        if (v->teacher)
            teacher_sequence(v, &s);
        for (int k = STUDENT_BEFORE; k < MODELS; k++)
            if (v->models[k].m)
                student_sequence(v, &v->models[k], &s);
        run_fragments(v, &s, i);
    }
}

/* --- reporting --- */

struct row {
    double kl, ce, positions, correct, tokens, seconds, replicas, parameters;
};

/* Each model's numbers, summed over the leaders of the replicas that ran it. */
static void sum_rows(const struct evaluation *v, struct row rows[MODELS])
{
    enum { FIELDS = sizeof(struct row) / sizeof(double) };
    for (int i = 0; i < MODELS; i++) {
        const struct evaluated *x = &v->models[i];
        rows[i] = (struct row){0};
        if (!x->m || !groups_leads(&v->c->groups))
            continue;
        rows[i] = (struct row){
            x->sums.kl, x->sums.ce, (double)x->sums.positions,     (double)x->sums.correct, (double)x->tokens,
            x->seconds, 1,          (double)model_parameters(x->m)};
    }
    sum_f64(v->c->world, (double *)rows, MODELS * FIELDS);
}

static void print_rows(const struct row rows[MODELS], struct strbuf *json, struct strbuf *table)
{
    const struct row *t = &rows[TEACHER];
    strbuf_printf(json, "{\"tokens\": %.0f, \"supervised_tokens\": %.0f, \"models\": [", t->tokens, t->positions);
    strbuf_printf(table, "%-16s %12s %12s %14s %10s %10s\n", "model", "parameters", "perplexity", "KL to teacher",
                  "accuracy", "tokens/s");
    const char *separator = "";
    for (int i = 0; i < MODELS; i++) {
        const struct row *r = &rows[i];
        if (r->positions <= 0)
            continue;
        double parameters = r->parameters / r->replicas, perplexity = exp(r->ce / r->positions);
        double kl = i == TEACHER ? 0 : r->kl / r->positions, accuracy = r->correct / r->positions;
        double rate = r->seconds > 0 ? r->tokens / r->seconds * r->replicas : 0;
        strbuf_printf(
            json,
            "%s{\"name\": \"%s\", \"parameters\": %.0f, \"perplexity\": %.9g, \"kl\": %.9g, \"accuracy\": %.9g, "
            "\"tokens_per_second\": %.6g}",
            separator, model_names[i], parameters, perplexity, kl, accuracy, rate);
        strbuf_printf(table, "%-16s %12.0f %12.3f %14.5f %10.4f %10.0f\n", model_names[i], parameters, perplexity, kl,
                      accuracy, rate);
        separator = ", ";
    }
    strbuf_adds(json, "]}\n");
}

static int report(struct evaluation *v, struct err *e)
{
    struct row rows[MODELS];
    sum_rows(v, rows);
    if (v->c->root) {
        struct strbuf json, table;
        strbuf_init(&json);
        strbuf_init(&table);
        print_rows(rows, &json, &table);
        char *path = file_join(v->c->job->output, "evaluation.json");
        if (!file_write(path, json.data, json.size, e))
            v->c->options->observer->result(v->c->options->observer->context, table.data);
        mem_free(path);
        strbuf_release(&json);
        strbuf_release(&table);
    }
    return agree(v->c->world, e);
}

static int check_data(const struct context *c, struct err *e)
{
    if (corpus_count(c->corpus, SPLIT_VALIDATION))
        return 0;
    return err_set(e, ERR_USAGE, "%s: evaluate needs validation data", job_where(c->job, "data.validation"));
}

/* The directory is a run's, or becomes one: of what a run writes there nothing is touched (SEMANTICS, Who runs what).
 */
static int begin(const struct context *c, struct err *e)
{
    if (check_data(c, e))
        return -1;
    if (c->root && !file_make_directories(c->job->output, e))
        run_directory_log(c->job, c->options, EVALUATION_LOG);
    return agree(c->world, e);
}

int mode_evaluate(struct context *c, struct err *e)
{
    struct evaluation v = {.c = c};
    if (begin(c, e))
        return -1;
    micro_batch_init(&v.batch, c->job->data.sequence_length);
    int rc = open_all(&v, e);
    if (!rc) {
        if (c->groups.me.role == ROLE_TEACHER)
            serve(&v);
        else
            study(&v);
        rc = report(&v, e);
    }
    close_all(&v);
    return rc;
}
