#include "learn/loss.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/integer.h"
#include "base/mem.h"
#include "base/profile.h"
#include "kern/op_linear.h"
#include "kern/op_softmax.h"
#include "learn/loss_hidden.h"
#include "par/sum.h"

/* What is known of one row after the reductions over shards. */
struct row {
    double lse, lse_t;           /* log sum exp at temperature 1 over all ids; at T over the allowed ones */
    double lse_tail;             /* at T over the ids that a top_k label does not list */
    double sum, sum_t, sum_tail; /* the sums against the row's maxima, from which they come */
    double target;               /* logit of the target */
    double dot;                  /* sum of p * z / T over the label's entries */
};

enum { SUM_CE, SUM_T, SUM_TAIL, SUM_TARGET, SUM_DOT, SUM_COUNT };
enum { MAX_CE, MAX_T, MAX_TAIL, MAX_COUNT };

struct loss {
    const struct model *m;
    struct loss_spec spec;
    int64_t V, first;           /* this shard's vocabulary */
    int64_t chunk;              /* rows at once */
    bool apart;                 /* the KL's gradient is made beside the cross-entropy's, not in one softmax with it */
    float *logits;              /* [chunk, V] */
    float *soft;                /* [chunk, V]: the KL's gradient where it is apart */
    float *tail;                /* [chunk, V]: logits of the tail class, listed ids at -infinity */
    float *max;                 /* [chunk, MAX_COUNT] */
    double *sums;               /* [chunk, SUM_COUNT] */
    struct row *rows;           /* [chunk] */
    struct hidden_rows *hidden; /* the labels of a chunk, where they are hidden; else NULL */
    struct arena arena;
};

struct loss *loss_new(const struct model *m, const struct loss_spec *spec, int64_t positions, struct err *e)
{
    struct loss *l = mem_alloc(sizeof *l);
    arena_init(&l->arena);
    l->m = m;
    l->spec = *spec;
    l->first = m->shard.vocab.first;
    l->V = m->shard.vocab.end - l->first;
    const bool hidden = spec->teacher_head.cols > 0;
    l->apart = spec->temperature != 1 || spec->allowed || spec->tail || hidden;
    l->chunk = model_logit_rows(m, positions);
    size_t n = (size_t)l->chunk;
    l->logits = arena_try(&l->arena, n * (size_t)l->V, sizeof(float));
    l->soft = l->apart ? arena_try(&l->arena, n * (size_t)l->V, sizeof(float)) : l->logits;
    l->tail = spec->tail ? arena_try(&l->arena, n * (size_t)l->V, sizeof(float)) : l->logits;
    if (!l->logits || !l->soft || !l->tail) {
        err_set(e, ERR_ENVIRONMENT, "no memory for the logits of %lld positions (vocabulary %lld)", (long long)l->chunk,
                (long long)l->V);
        loss_free(l);
        return NULL;
    }
    l->hidden = hidden ? hidden_rows_new(&l->spec, l->V, l->chunk, e) : NULL;
    if (hidden && !l->hidden) {
        loss_free(l);
        return NULL;
    }
    l->max = arena_alloc(&l->arena, n * MAX_COUNT, sizeof(float));
    l->sums = arena_alloc(&l->arena, n * SUM_COUNT, sizeof(double));
    l->rows = arena_alloc(&l->arena, n, sizeof *l->rows);
    return l;
}

void loss_free(struct loss *l)
{
    if (!l)
        return;
    hidden_rows_free(l->hidden);
    arena_release(&l->arena);
    mem_free(l);
}

/* --- a label's entries, as far as they fall into this shard --- */

struct entries {
    const uint32_t *ids;
    const float *p;
    int64_t n;
    double tail;
};

static struct entries entries_of(const struct target *t)
{
    if (!t->set)
        return (struct entries){0};
    int64_t first = t->set->first[t->label], end = t->set->first[t->label + 1];
    return (struct entries){t->set->ids + first, t->set->p + first, end - first, t->set->tail[t->label]};
}

static bool local(const struct loss *l, uint32_t id, int64_t *at)
{
    *at = (int64_t)id - l->first;
    return *at >= 0 && *at < l->V;
}

/* The row's logits without the listed ids: what a softmax over the tail class sees. */
static float *tail_row(const struct loss *l, int64_t i)
{
    return l->tail + i * l->V;
}

static void make_tail_row(const struct loss *l, int64_t i, const struct entries *e)
{
    float *z = tail_row(l, i);
    int64_t at;
    ASSERT(l->spec.tail);
    memcpy(z, l->logits + i * l->V, (size_t)l->V * sizeof *z);
    for (int64_t k = 0; k < e->n; k++)
        if (local(l, e->ids[k], &at))
            z[at] = -INFINITY;
}

/* --- the statistics of a chunk --- */

static float inverse_temperature(const struct loss *l)
{
    return (float)(1 / l->spec.temperature);
}

static void row_maxima(struct loss *l, int64_t i, const struct target *t)
{
    float *z = l->logits + i * l->V, *max = l->max + i * MAX_COUNT;
    struct entries e = entries_of(t);
    softmax_max(&max[MAX_CE], z, l->V, 1, NULL, 1, l->V);
    max[MAX_T] = max[MAX_CE];
    if (l->apart && t->set)
        softmax_max(&max[MAX_T], z, l->V, inverse_temperature(l), l->spec.allowed, 1, l->V);
    max[MAX_TAIL] = -INFINITY;
    if (e.tail > 0) {
        make_tail_row(l, i, &e);
        softmax_max(&max[MAX_TAIL], tail_row(l, i), l->V, inverse_temperature(l), l->spec.allowed, 1, l->V);
    }
}

/* exp-sum against a maximum that may be -infinity on every shard: then there is nothing to sum. */
static double exp_sum(const struct loss *l, const float *z, float scale, float max, const uint64_t *allowed)
{
    float sum = 0;
    if (max > -INFINITY)
        softmax_sum(&sum, z, l->V, scale, &max, allowed, 1, l->V);
    return sum;
}

static void row_sums(struct loss *l, int64_t i, const struct target *t)
{
    float *z = l->logits + i * l->V;
    const float *max = l->max + i * MAX_COUNT;
    double *sums = l->sums + i * SUM_COUNT;
    struct entries e = entries_of(t);
    int64_t at;
    memset(sums, 0, SUM_COUNT * sizeof *sums);
    sums[SUM_CE] = exp_sum(l, z, 1, max[MAX_CE], NULL);
    sums[SUM_T] = sums[SUM_CE];
    if (l->apart && t->set)
        sums[SUM_T] = exp_sum(l, z, inverse_temperature(l), max[MAX_T], l->spec.allowed);
    if (e.tail > 0)
        sums[SUM_TAIL] = exp_sum(l, tail_row(l, i), inverse_temperature(l), max[MAX_TAIL], l->spec.allowed);
    if (local(l, t->id, &at))
        sums[SUM_TARGET] = z[at];
    for (int64_t k = 0; k < e.n; k++)
        if (local(l, e.ids[k], &at))
            sums[SUM_DOT] += (double)e.p[k] * (double)z[at] / l->spec.temperature;
}

static void chunk_statistics(struct loss *l, const struct target *targets, int64_t n)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++)
        row_maxima(l, i, &targets[i]);
    max_f32(&l->m->shards, l->max, n * MAX_COUNT);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++)
        row_sums(l, i, &targets[i]);
    sum_f64(&l->m->shards, l->sums, n * SUM_COUNT);
    for (int64_t i = 0; i < n; i++) {
        const float *max = l->max + i * MAX_COUNT;
        const double *sums = l->sums + i * SUM_COUNT;
        l->rows[i] = (struct row){
            .lse = max[MAX_CE] + log(sums[SUM_CE]),
            .lse_t = max[MAX_T] + log(sums[SUM_T]),
            .lse_tail = sums[SUM_TAIL] > 0 ? max[MAX_TAIL] + log(sums[SUM_TAIL]) : -INFINITY,
            .sum = sums[SUM_CE],
            .sum_t = sums[SUM_T],
            .sum_tail = sums[SUM_TAIL],
            .target = sums[SUM_TARGET],
            .dot = sums[SUM_DOT],
        };
    }
}

/* --- values --- */

static double x_log_x(double x)
{
    return x > 0 ? x * log(x) : 0;
}

/* top_k: the KL of the k + 1 classes. sampled, random: sum p_hat (-log q) - H, with the teacher's exact entropy H.
 * hidden: the KL itself. */
static double row_kl(const struct loss *l, int64_t i, const struct target *t)
{
    const struct row *r = &l->rows[i];
    if (l->hidden)
        return hidden_rows_kl(l->hidden, i, r->lse_t);
    struct entries e = entries_of(t);
    double mass = 0, negative_entropy = 0;
    for (int64_t k = 0; k < e.n; k++) {
        mass += e.p[k];
        negative_entropy += x_log_x(e.p[k]);
    }
    double cross = mass * r->lse_t - r->dot;
    if (t->set->kind != LABEL_TOP_K)
        return cross - t->set->entropy[t->label];
    double tail = e.tail > 0 ? x_log_x(e.tail) - e.tail * (r->lse_tail - r->lse_t) : 0;
    return cross + negative_entropy + tail;
}

static bool is_correct(const struct loss *l, int64_t row)
{
    return l->rows[row].target >= (double)l->max[row * MAX_COUNT + MAX_CE];
}

static void add_values(const struct loss *l, const struct target *targets, int64_t n, struct loss_sums *sums)
{
    for (int64_t i = 0; i < n; i++) {
        const struct row *r = &l->rows[i];
        sums->ce += r->lse - r->target;
        if (targets[i].set)
            sums->kl += row_kl(l, i, &targets[i]);
        sums->correct += is_correct(l, i);
        sums->positions++;
    }
}

/* --- gradients --- */

/* Probabilities are exp(z - max) / sum, never exp(z - lse): a large lse in f32 would cost them digits. The division
 * goes into the factor by which a row is scaled anyway. */

static void scale_row(float *x, double a, int64_t n)
{
    vector_scale(x, (float)a, n);
}

static double mass_of(const struct entries *e)
{
    double mass = e->tail;
    for (int64_t k = 0; k < e->n; k++)
        mass += e->p[k];
    return mass;
}

/* x[id] -= a * p for the label's entries: an id may be listed twice. */
static void subtract_entries(const struct loss *l, const struct entries *e, double a, float *x)
{
    int64_t at;
    for (int64_t k = 0; k < e->n; k++)
        if (local(l, e->ids[k], &at))
            x[at] -= (float)(a * e->p[k]);
}

/* The tail class shares its mass among its ids in proportion to q: x[j] -= a * tail * exp(z_j/T - lse_tail). */
static void subtract_tail(const struct loss *l, int64_t i, const struct entries *e, double a, float *x)
{
    float *share = tail_row(l, i);
    softmax_probabilities(share, l->V, share, l->V, inverse_temperature(l), &l->max[i * MAX_COUNT + MAX_TAIL],
                          l->spec.allowed, 1, l->V);
    vector_axpy(x, (float)(-a * e->tail / l->rows[i].sum_tail), share, l->V);
}

/* The weight of the KL's gradient on a logit: alpha T^2, and 1/T for d(z/T)/dz. */
static double kl_factor(const struct loss *l)
{
    const struct loss_spec *s = &l->spec;
    return s->alpha * (s->temperature_squared ? s->temperature : 1 / s->temperature);
}

/* soft = a (q mass - p - tail's share): dKL/dz, weighted. */
static void kl_gradient(const struct loss *l, int64_t i, const struct entries *e, double a, float *soft)
{
    const float *z = l->logits + i * l->V;
    softmax_probabilities(soft, l->V, z, l->V, inverse_temperature(l), &l->max[i * MAX_COUNT + MAX_T], l->spec.allowed,
                          1, l->V);
    scale_row(soft, a * (l->hidden ? 1 : mass_of(e)) / l->rows[i].sum_t, l->V);
    if (l->hidden)
        hidden_rows_subtract(l->hidden, i, a, soft);
    if (e->tail > 0)
        subtract_tail(l, i, e, a, soft);
    subtract_entries(l, e, a, soft);
}

/* z becomes the row's gradient. Where both losses have the same softmax, one serves them: (a mass + b) q, less each
 * one's targets. */
static void row_gradient(const struct loss *l, int64_t i, const struct target *t, double weight)
{
    float *z = l->logits + i * l->V, *soft = l->soft + i * l->V;
    struct entries e = entries_of(t);
    int64_t at;
    double a = t->set ? kl_factor(l) * weight : 0, b = l->spec.beta * weight;
    bool apart = l->apart && t->set;
    if (apart)
        kl_gradient(l, i, &e, a, soft);
    softmax_probabilities(z, l->V, z, l->V, 1, &l->max[i * MAX_COUNT + MAX_CE], NULL, 1, l->V);
    scale_row(z, (apart ? b : a * mass_of(&e) + b) / l->rows[i].sum, l->V);
    if (apart)
        vector_add(z, soft, l->V);
    else
        subtract_entries(l, &e, a, z);
    if (local(l, t->id, &at))
        z[at] -= (float)b;
}

void loss_run(struct loss *l, const float *h, const struct target *targets, int64_t n, double weight, float *dh,
              struct loss_sums *sums)
{
    int64_t d = l->m->config.hidden_size;
    for (int64_t first = 0, rows; first < n; first += rows) {
        rows = equal_part(n - first, l->chunk);
        const struct target *t = targets + first;
        model_logits(l->m, h + first * d, rows, l->logits);
        profile_op(OP_LOSS);
        chunk_statistics(l, t, rows);
        if (l->hidden)
            hidden_rows_make(l->hidden, &l->m->shards, t, rows, l->logits);
        add_values(l, t, rows, sums);
        if (!dh)
            continue;
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < rows; i++)
            row_gradient(l, i, &t[i], weight);
        model_logits_backward(l->m, dh + first * d, l->logits, h + first * d, rows);
    }
    profile_op(OP_TP_SUM);
    if (dh)
        sum_f32(&l->m->shards, dh, n * d);
}

void loss_log_probabilities(struct loss *l, const float *h, const struct target *targets, int64_t n, double *logp,
                            unsigned char *correct)
{
    int64_t d = l->m->config.hidden_size;
    for (int64_t first = 0, rows; first < n; first += rows) {
        rows = equal_part(n - first, l->chunk);
        model_logits(l->m, h + first * d, rows, l->logits);
        chunk_statistics(l, targets + first, rows);
        for (int64_t i = 0; i < rows; i++) {
            logp[first + i] = l->rows[i].target - l->rows[i].lse;
            correct[first + i] = is_correct(l, i);
        }
    }
}
