/* The passes that need a model. */
#include <string.h>

#include "base/mem.h"
#include "job/bench_pass.h"
#include "label/record.h"
#include "learn/teacher.h"
#include "learn/trainer.h"
#include "par/agree.h"

static const struct label_spec labels = {
    .kind = LABEL_SAMPLED, .values = VALUES_U8, .threshold = 0.02, .temperature = 1};

static struct sequence own_sequence(const struct bench *b, int i)
{
    return corpus_sequence(b->corpus, SPLIT_TRAIN, (int64_t)i * b->groups.student.replicas + b->groups.me.replica);
}

/* --- teacher --- */

struct teacher_pass {
    struct bench *b;
    struct teacher *teacher;
};

static int label_all(void *context, struct err *e)
{
    struct teacher_pass *p = context;
    (void)e;
    for (int i = 0; i < p->b->o->sequences; i++) {
        struct sequence s = own_sequence(p->b, i);
        size_t size;
        mem_free(teacher_label(p->teacher, &s, &size));
    }
    return 0;
}

int bench_teacher(struct bench *b, struct err *e)
{
    struct teacher_pass p = {b, teacher_new(b->m, &labels, NULL, b->o->sequence_length, e)};
    if (agree(b->world, e)) {
        teacher_free(p.teacher);
        return -1;
    }
    int rc = bench_time(b, label_all, &p, e);
    teacher_free(p.teacher);
    return rc;
}

/* --- student --- */

struct record {
    void *bytes;
    size_t size;
};

struct student_pass {
    struct bench *b;
    struct record *records; /* [sequences of all replicas], as the model itself labels them */
    int64_t count;
    struct trainer *trainer;
    int64_t step;
};

static void *take(void *context, int64_t item, const struct sequence *s, size_t *size, double *waited)
{
    const struct student_pass *p = context;
    const struct record *r = &p->records[sequence_index(s->id)];
    (void)item, (void)waited;
    void *copy = mem_alloc(r->size);
    memcpy(copy, r->bytes, r->size);
    *size = r->size;
    return copy;
}

static int make_records(struct student_pass *p, struct err *e)
{
    const struct bench *b = p->b;
    struct teacher *teacher = teacher_new(b->m, &labels, NULL, b->o->sequence_length, e);
    if (agree(b->world, e)) {
        teacher_free(teacher);
        return -1;
    }
    p->count = corpus_count(b->corpus, SPLIT_TRAIN);
    p->records = mem_array((size_t)p->count, sizeof *p->records);
    for (int64_t i = 0; i < p->count; i++) {
        struct sequence s = corpus_sequence(b->corpus, SPLIT_TRAIN, i);
        struct record *r = &p->records[i];
        r->bytes = teacher_label(teacher, &s, &r->size);
        comm_broadcast_buffer(&b->groups.shards, &r->bytes, &r->size, 0);
    }
    teacher_free(teacher);
    return 0;
}

static int one_step(void *context, struct err *e)
{
    struct student_pass *p = context;
    struct step_metrics m;
    return trainer_step(p->trainer, p->step++, &m, e);
}

static struct train_spec spec_of(const struct bench *b)
{
    const int steps = b->o->repeat + 1;
    return (struct train_spec){
        .steps = steps,
        .sequences_per_step = (int64_t)b->o->sequences * b->groups.student.replicas,
        .sequences_per_micro_batch = b->o->sequences,
        .sequence_length = b->o->sequence_length,
        .adamw = {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8},
        .schedule = {.name = SCHEDULE_KIND_CONSTANT, .peak = 1e-6, .final_ratio = 1, .steps = steps},
        .clip_norm = 1,
        .loss = {.temperature = 1, .alpha = 0.7, .beta = 0.3},
        .labels = true,
        .label = labels,
        .label_vocabulary = (uint32_t)b->m->config.vocab_size,
        .window = 1,
        .memory_limit = b->o->memory_limit,
    };
}

int bench_student(struct bench *b, struct err *e)
{
    struct student_pass p = {.b = b, .step = 1};
    const struct label_source source = {.take = take, .context = &p};
    const struct train_spec spec = spec_of(b);
    const struct items items = {.train = {.count = corpus_count(b->corpus, SPLIT_TRAIN)},
                                .per_step = spec.sequences_per_step,
                                .first_step = 1,
                                .steps = spec.steps,
                                .students = b->groups.student.replicas,
                                .teachers = 1};
    int rc = make_records(&p, e);
    if (!rc)
        p.trainer = trainer_new(&spec, b->m, &b->groups, b->corpus, &items, &source, e);
    if (!rc)
        rc = agree(b->world, e) || bench_time(b, one_step, &p, e) ? -1 : 0;
    trainer_free(p.trainer);
    for (int64_t i = 0; i < p.count; i++)
        mem_free(p.records[i].bytes);
    mem_free(p.records);
    return rc;
}

/* --- head and loss alone --- */

struct head_pass {
    struct loss *loss;
    struct target *targets;
    int64_t n;
    float *h, *dh;
};

static int head_once(void *context, struct err *e)
{
    struct head_pass *p = context;
    struct loss_sums sums = {0};
    (void)e;
    profile_phase(PHASE_LOSS);
    loss_run(p->loss, p->h, p->targets, p->n, 1 / (double)p->n, p->dh, &sums);
    return 0;
}

/* Hidden states that stand for the last block's: those of the embedding, normed. */
static void fill_hidden(float *h, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        h[i] = (float)((i * 2654435761u) % 1000) / 500 - 1;
}

static int open_head(struct bench *b, struct head_pass *p, struct label_set *set, struct err *e)
{
    struct student_pass labelled = {.b = b};
    const struct loss_spec spec = {.temperature = 1, .alpha = 0.7, .beta = 0.3};
    struct sequence s = own_sequence(b, 0);
    const size_t floats = (size_t)(s.labels * b->m->config.hidden_size);
    if (make_records(&labelled, e))
        return -1;
    struct record *mine = &labelled.records[sequence_index(s.id)];
    record_decode(mine->bytes, mine->size, &labels, s.id, s.input_hash, (uint32_t)b->m->config.vocab_size, set, e);
    for (int64_t i = 0; i < labelled.count; i++)
        mem_free(labelled.records[i].bytes);
    mem_free(labelled.records);
    p->n = s.labels;
    p->loss = loss_new(b->m, &spec, p->n, e);
    p->targets = mem_array((size_t)p->n, sizeof *p->targets);
    for (int i = 0; i < s.labels; i++)
        p->targets[i] = (struct target){s.ids[i + 1], set, i};
    p->h = mem_array(floats, sizeof *p->h);
    p->dh = mem_array(floats, sizeof *p->dh);
    fill_hidden(p->h, (int64_t)floats);
    return 0;
}

int bench_head(struct bench *b, struct err *e)
{
    struct head_pass p = {0};
    struct label_set set = {0};
    open_head(b, &p, &set, e);
    int rc = agree(b->world, e);
    if (!rc)
        rc = bench_time(b, head_once, &p, e);
    loss_free(p.loss);
    mem_free(p.targets);
    mem_free(p.h);
    mem_free(p.dh);
    label_set_release(&set);
    return rc;
}

/* --- products alone --- */

struct gemm_pass {
    struct bench *b;
    float *x, *y, *dw; /* [M, widest], [M, widest], [largest matrix] */
    int64_t M;
};

static void run_products(const struct gemm_pass *p, const struct param *w)
{
    const enum precision precision = p->b->o->precision;
    const struct matrix m = param_matrix(w);
    gemm_forward(precision, p->y, m.rows, p->x, m.cols, m, p->M, false);
    gemm_backward_input(precision, p->y, m.cols, p->x, m.rows, m, p->M, false);
    if (!p->b->o->lora)
        gemm_backward_weight(precision, p->dw, m.cols, p->x, m.rows, p->y, m.cols, m.rows, m.cols, p->M);
}

static int gemm_once(void *context, struct err *e)
{
    const struct gemm_pass *p = context;
    const struct layer *l = &p->b->m->layers[0];
    const struct param *const weights[] = {l->q.w, l->k.w, l->o.w, l->gate.w, l->down.w, p->b->m->head};
    (void)e;
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        run_products(p, weights[i]);
    return 0;
}

int bench_gemm(struct bench *b, struct err *e)
{
    const struct model *m = b->m;
    int64_t widest = m->config.hidden_size, largest = 1;
    for (int i = 0; i < m->param_count; i++) {
        const int64_t rows = param_local_rows(&m->params[i]), n = param_elements(&m->params[i]);
        widest = rows > widest ? rows : widest;
        largest = n > largest ? n : largest;
    }
    struct gemm_pass p = {.b = b, .M = (int64_t)b->o->sequences * b->o->sequence_length};
    p.x = mem_array((size_t)(p.M * widest), sizeof *p.x);
    p.y = mem_array((size_t)(p.M * widest), sizeof *p.y);
    p.dw = mem_array((size_t)largest, sizeof *p.dw);
    fill_hidden(p.x, p.M * widest);
    int rc = bench_time(b, gemm_once, &p, e);
    mem_free(p.x);
    mem_free(p.y);
    mem_free(p.dw);
    return rc;
}
