#include "learn/loss_hidden.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/mem.h"
#include "base/profile.h"
#include "kern/op_linear.h"
#include "kern/op_softmax.h"
#include "par/sum.h"

/* Of e = exp(z/T - max): the sum, and against the logits of teacher and student over T. */
enum { SUM_E, SUM_TEACHER, SUM_STUDENT, SUM_COUNT };

struct hidden_rows {
    const struct loss_spec *spec;
    int64_t V;
    float *states; /* [chunk, width] */
    float *logits; /* [chunk, V]: the teacher's; rows that its head lacks stay 0, and never take part */
    float *e;      /* [chunk, V] */
    float *max;    /* [chunk] */
    double *sums;  /* [chunk, SUM_COUNT] */
    struct arena arena;
};

struct hidden_rows *hidden_rows_new(const struct loss_spec *spec, int64_t V, int64_t chunk, struct err *e)
{
    struct hidden_rows *r = mem_alloc(sizeof *r);
    const size_t n = (size_t)chunk;
    arena_init(&r->arena);
    r->spec = spec;
    r->V = V;
    r->states = arena_try(&r->arena, n * (size_t)spec->teacher_head.cols, sizeof(float));
    r->logits = arena_try(&r->arena, n * (size_t)V, sizeof(float));
    r->e = arena_try(&r->arena, n * (size_t)V, sizeof(float));
    if (!r->states || !r->logits || !r->e) {
        err_set(e, ERR_ENVIRONMENT, "no memory for the teacher's logits of %lld positions (vocabulary %lld)",
                (long long)chunk, (long long)V);
        hidden_rows_free(r);
        return NULL;
    }
    r->max = arena_alloc(&r->arena, n, sizeof *r->max);
    r->sums = arena_alloc(&r->arena, n * SUM_COUNT, sizeof *r->sums);
    return r;
}

void hidden_rows_free(struct hidden_rows *r)
{
    if (!r)
        return;
    arena_release(&r->arena);
    mem_free(r);
}

static float inverse_temperature(const struct hidden_rows *r)
{
    return (float)(1 / r->spec->temperature);
}

static void make_logits(struct hidden_rows *r, const struct target *targets, int64_t n)
{
    const struct matrix w = r->spec->teacher_head;
    for (int64_t i = 0; i < n; i++) {
        const struct label_set *set = targets[i].set;
        ASSERT(set && set->hidden && set->width == w.cols);
        memcpy(r->states + i * w.cols, set->hidden + targets[i].label * w.cols, (size_t)w.cols * sizeof *r->states);
    }
    if (w.rows)
        gemm_forward(r->spec->teacher_precision, r->logits, r->V, r->states, w.cols, w, n, false);
}

static void row_sums(struct hidden_rows *r, int64_t i, const float *student)
{
    const float *z = r->logits + i * r->V;
    float *e = r->e + i * r->V;
    double *sums = r->sums + i * SUM_COUNT;
    softmax_probabilities(e, r->V, z, r->V, inverse_temperature(r), &r->max[i], r->spec->allowed, 1, r->V);
    sums[SUM_E] = vector_sum(e, r->V);
    sums[SUM_TEACHER] = vector_dot(e, z, r->V) / r->spec->temperature;
    sums[SUM_STUDENT] = vector_dot(e, student, r->V) / r->spec->temperature;
}

void hidden_rows_make(struct hidden_rows *r, const struct comm *shards, const struct target *targets, int64_t n,
                      const float *z)
{
    profile_op(OP_HEAD);
    make_logits(r, targets, n);
    profile_op(OP_LOSS);
    softmax_max(r->max, r->logits, r->V, inverse_temperature(r), r->spec->allowed, n, r->V);
    max_f32(shards, r->max, n);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++)
        row_sums(r, i, z + i * r->V);
    sum_f64(shards, r->sums, n * SUM_COUNT);
}

double hidden_rows_kl(const struct hidden_rows *r, int64_t i, double lse)
{
    const double *sums = r->sums + i * SUM_COUNT;
    const double own = r->max[i] + log(sums[SUM_E]);
    return (sums[SUM_TEACHER] - sums[SUM_STUDENT]) / sums[SUM_E] - own + lse;
}

void hidden_rows_subtract(const struct hidden_rows *r, int64_t i, double a, float *x)
{
    vector_axpy(x, (float)(-a / r->sums[i * SUM_COUNT + SUM_E]), r->e + i * r->V, r->V);
}
