#include "learn/teacher.h"

#include "base/assert.h"
#include "base/integer.h"
#include "base/mem.h"
#include "base/profile.h"
#include "label/encode.h"
#include "learn/micro_batch.h"
#include "par/agree.h"
#include "par/failure.h"

struct teacher {
    const struct model *m;
    struct tape *tape;
    struct encoder *encoder;
    struct micro_batch batch;
    int64_t chunk, V;  /* rows of logits at once; this shard's vocabulary */
    bool hidden;       /* labels are states: no logits are made */
    float *h, *logits; /* logits: NULL where labels are states */
    struct arena arena;
};

static int allocate(struct teacher *t, int64_t tokens, struct err *e)
{
    const struct model_config *c = &t->m->config;
    t->V = t->m->shard.vocab.end - t->m->shard.vocab.first;
    t->chunk = model_logit_rows(t->m, tokens);
    t->tape = tape_new(t->m, tokens, TAPE_INFERENCE, e);
    if (!t->tape)
        return -1;
    t->h = arena_try(&t->arena, (size_t)(tokens * c->hidden_size), sizeof(float));
    t->logits = t->hidden ? NULL : arena_try(&t->arena, (size_t)(t->chunk * t->V), sizeof(float));
    if (!t->h || (!t->hidden && !t->logits))
        return err_set(e, ERR_ENVIRONMENT, "no memory for the teacher's logits of %lld positions", (long long)t->chunk);
    return 0;
}

struct teacher *teacher_new(const struct model *m, const struct label_spec *spec, const uint64_t *allowed,
                            int64_t tokens, struct err *e)
{
    struct teacher *t = mem_alloc(sizeof *t);
    t->m = m;
    t->hidden = spec->kind == LABEL_HIDDEN;
    ASSERT(!t->hidden || spec->hidden == m->config.hidden_size);
    arena_init(&t->arena);
    micro_batch_init(&t->batch, tokens);
    allocate(t, tokens, e);
    if (agree(&m->shards, e)) {
        teacher_free(t);
        return NULL;
    }
    t->encoder = encoder_new(spec, &m->shards, m->shard.vocab.first, t->V, allowed);
    return t;
}

void teacher_free(struct teacher *t)
{
    if (!t)
        return;
    encoder_free(t->encoder);
    tape_free(t->tape);
    micro_batch_release(&t->batch);
    arena_release(&t->arena);
    mem_free(t);
}

void teacher_read(struct teacher *t, const struct sequence *s)
{
    micro_batch_clear(&t->batch);
    micro_batch_add(&t->batch, s, 0, NULL);
    struct batch b = micro_batch_view(&t->batch);
    profile_phase(PHASE_FORWARD);
    model_forward(t->m, t->tape, &b);
    model_final_norm(t->m, t->tape, t->batch.rows, t->batch.n, t->h);
}

/* Weights are checked at load, so this is a model that overflows on this input. Its labels must not be used. */
static void check_logits(const struct teacher *t, const struct sequence *s)
{
    struct err e = {0};
    int64_t bad = encoder_bad_labels(t->encoder);
    if (!bad || t->m->shards.rank != 0)
        return;
    err_set(&e, ERR_INPUT, "the teacher's %s at %lld positions of %s",
            t->hidden ? "states do not fit into labels.encoding.values" : "logits are not finite", (long long)bad,
            sequence_name(s->id));
    failure_raise(&e);
}

void *teacher_encode(struct teacher *t, const struct sequence *s, int64_t first, int64_t rows, size_t *size)
{
    int64_t d = t->m->config.hidden_size, end = first + rows;
    profile_phase(PHASE_ENCODE);
    encoder_begin(t->encoder, s->id, s->input_hash, s->tokens);
    if (t->hidden) {
        encoder_hidden(t->encoder, t->h + first * d, rows);
        first = end;
    }
    for (int64_t n; first < end; first += n) {
        n = equal_part(end - first, t->chunk);
        model_logits(t->m, t->h + first * d, n, t->logits);
        profile_op(OP_ENCODE);
        encoder_rows(t->encoder, t->logits, t->V, t->batch.rows + first, n);
    }
    void *record = encoder_finish(t->encoder, size);
    check_logits(t, s);
    return record;
}

void *teacher_label(struct teacher *t, const struct sequence *s, size_t *size)
{
    teacher_read(t, s);
    return teacher_encode(t, s, 0, t->batch.n, size);
}

const float *teacher_hidden(const struct teacher *t)
{
    return t->h;
}

const struct target *teacher_targets(const struct teacher *t)
{
    return t->batch.targets;
}

const struct comm *teacher_shards(const struct teacher *t)
{
    return &t->m->shards;
}
