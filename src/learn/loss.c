#include "learn/loss.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kern/op_softmax.h"
#include "par/sum.h"

/* What is known of one row after the reductions over shards. */
struct row {
    double lse, lse_t; /* log sum exp at temperature 1 over all ids; at T over the allowed ones */
    double lse_tail;   /* at T over the ids that a top_k label does not list */
    double target;     /* logit of the target */
    double dot;        /* sum of p * z / T over the label's entries */
};

enum { SUM_CE, SUM_T, SUM_TAIL, SUM_TARGET, SUM_DOT, SUM_COUNT };
enum { MAX_CE, MAX_T, MAX_TAIL, MAX_COUNT };

struct loss {
    const struct model *m;
    struct loss_spec spec;
    int64_t V, first; /* this shard's vocabulary */
    int64_t chunk;    /* rows at once */
    bool apart;       /* the KL's softmax differs from the cross-entropy's */
    float *logits;    /* [chunk, V] */
    float *soft;      /* [chunk, V]: the KL's probabilities where they are apart */
    float *max;       /* [chunk, MAX_COUNT] */
    double *sums;     /* [chunk, SUM_COUNT] */
    struct row *rows; /* [chunk] */
    float *lse;       /* [chunk] */
    struct arena arena;
};

enum { CHUNK_BYTES = 1 << 25, CHUNK_ROWS_MIN = 16 };

struct loss *loss_new(const struct model *m, const struct loss_spec *spec, int64_t positions, struct err *e)
{
    struct loss *l = mem_alloc(sizeof *l);
    arena_init(&l->arena);
    l->m = m;
    l->spec = *spec;
    l->first = m->shard.vocab.first;
    l->V = m->shard.vocab.end - l->first;
    l->apart = spec->temperature != 1 || spec->allowed;
    /* the same chunk on every shard: they reduce rows together */
    int64_t rows = CHUNK_BYTES / (int64_t)sizeof(float) / (m->config.vocab_size / m->shard.count + 1);
    l->chunk = rows < CHUNK_ROWS_MIN ? CHUNK_ROWS_MIN : rows;
    if (l->chunk > positions)
        l->chunk = positions > 0 ? positions : 1;
    size_t n = (size_t)l->chunk;
    l->logits = arena_try(&l->arena, n * (size_t)l->V, sizeof(float));
    l->soft = l->apart ? arena_try(&l->arena, n * (size_t)l->V, sizeof(float)) : l->logits;
    if (!l->logits || !l->soft) {
        err_set(e, ERR_ENVIRONMENT, "no memory for the logits of %lld positions (vocabulary %lld)", (long long)l->chunk,
                (long long)l->V);
        loss_free(l);
        return NULL;
    }
    l->max = arena_alloc(&l->arena, n * MAX_COUNT, sizeof(float));
    l->sums = arena_alloc(&l->arena, n * SUM_COUNT, sizeof(double));
    l->rows = arena_alloc(&l->arena, n, sizeof *l->rows);
    l->lse = arena_alloc(&l->arena, n, sizeof(float));
    return l;
}

void loss_free(struct loss *l)
{
    if (!l)
        return;
    arena_release(&l->arena);
    mem_free(l);
}

/* --- a label's entries, as far as they fall into this shard ------------------------------------------------------------ */

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

/* Runs body with the listed ids of z at -infinity, so that softmax sums see the tail class alone; then puts them back. */
struct hidden_ids {
    float *z, *saved;
};

static struct hidden_ids hide_entries(const struct loss *l, const struct entries *e, float *z)
{
    struct hidden_ids h = {z, mem_array((size_t)e->n, sizeof(float))};
    int64_t at;
    for (int64_t i = 0; i < e->n; i++)
        if (local(l, e->ids[i], &at)) {
            h.saved[i] = z[at];
            z[at] = -INFINITY;
        }
    return h;
}

static void show_entries(const struct loss *l, const struct entries *e, struct hidden_ids h)
{
    int64_t at;
    for (int64_t i = 0; i < e->n; i++)
        if (local(l, e->ids[i], &at))
            h.z[at] = h.saved[i];
    mem_free(h.saved);
}

/* --- the statistics of a chunk ---------------------------------------------------------------------------------------------- */

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
        struct hidden_ids h = hide_entries(l, &e, z);
        softmax_max(&max[MAX_TAIL], z, l->V, inverse_temperature(l), l->spec.allowed, 1, l->V);
        show_entries(l, &e, h);
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
    if (e.tail > 0) {
        struct hidden_ids h = hide_entries(l, &e, z);
        sums[SUM_TAIL] = exp_sum(l, z, inverse_temperature(l), max[MAX_TAIL], l->spec.allowed);
        show_entries(l, &e, h);
    }
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
            .target = sums[SUM_TARGET],
            .dot = sums[SUM_DOT],
        };
    }
}

/* --- values ------------------------------------------------------------------------------------------------------------- */

static double x_log_x(double x)
{
    return x > 0 ? x * log(x) : 0;
}

/* top_k: the KL of the k + 1 classes. sampled, random: sum p_hat (-log q) - H, with the teacher's exact entropy H. */
static double row_kl(const struct row *r, const struct target *t)
{
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
            sums->kl += row_kl(r, &targets[i]);
        sums->correct += is_correct(l, i);
        sums->positions++;
    }
}

/* --- gradients --------------------------------------------------------------------------------------------------------- */

static void scale_row(float *x, float a, int64_t n)
{
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        x[j] *= a;
}

/* d = a * (q * mass - p): what a KL with temperature leaves on the logits, where q (in place) are the student's probabilities
 * over the allowed ids. With a tail class its ids share its mass in proportion to q:
 * dKL/dz_j = q_j - p_j for listed j, q_j - tail * exp(z_j/T - lse_tail) for the others; all over T, which is in a. */
static void kl_gradient(const struct loss *l, const struct row *r, const struct target *t, const float *z, float *q,
                        double a)
{
    struct entries e = entries_of(t);
    double mass = e.tail;
    int64_t at;
    for (int64_t k = 0; k < e.n; k++)
        mass += e.p[k];
    if (e.tail > 0) {
        float *in_tail = mem_array((size_t)l->V, sizeof *in_tail), lse = (float)r->lse_tail;
        softmax_probabilities(in_tail, l->V, z, l->V, inverse_temperature(l), &lse, l->spec.allowed, 1, l->V);
        for (int64_t k = 0; k < e.n; k++)
            if (local(l, e.ids[k], &at))
                in_tail[at] = 0;
        for (int64_t j = 0; j < l->V; j++)
            q[j] = (float)(a * (mass * q[j] - e.tail * in_tail[j]));
        mem_free(in_tail);
    } else {
        scale_row(q, (float)(a * mass), l->V);
    }
    for (int64_t k = 0; k < e.n; k++)
        if (local(l, e.ids[k], &at))
            q[at] -= (float)(a * e.p[k]);
}

/* The weights of the two losses' gradients on a logit. */
static double kl_factor(const struct loss *l)
{
    const struct loss_spec *s = &l->spec;
    return s->alpha * (s->temperature_squared ? s->temperature : 1 / s->temperature);
}

static void row_gradient(struct loss *l, int64_t i, const struct target *t, double weight)
{
    float *z = l->logits + i * l->V, *soft = l->soft + i * l->V;
    const struct row *r = &l->rows[i];
    float lse = (float)r->lse, lse_t = (float)r->lse_t;
    int64_t at;
    double a = t->set ? kl_factor(l) * weight : 0, b = l->spec.beta * weight;
    struct entries e = entries_of(t);
    if (t->set && (l->apart || e.tail > 0)) {
        float *q = l->apart ? soft : mem_array((size_t)l->V, sizeof *q);
        softmax_probabilities(q, l->V, z, l->V, inverse_temperature(l), &lse_t, l->spec.allowed, 1, l->V);
        kl_gradient(l, r, t, z, q, a);
        softmax_probabilities(z, l->V, z, l->V, 1, &lse, NULL, 1, l->V);
        for (int64_t j = 0; j < l->V; j++)
            z[j] = (float)(b * z[j]) + q[j];
        if (!l->apart)
            mem_free(q);
    } else {
        /* one softmax serves both losses: (a * mass + b) q, then each loss's own targets */
        softmax_probabilities(z, l->V, z, l->V, 1, &lse, NULL, 1, l->V);
        double mass = 0;
        for (int64_t k = 0; k < e.n; k++)
            mass += e.p[k];
        scale_row(z, (float)(a * mass + b), l->V);
        for (int64_t k = 0; k < e.n; k++)
            if (local(l, e.ids[k], &at))
                z[at] -= (float)(a * e.p[k]);
    }
    if (local(l, t->id, &at))
        z[at] -= (float)b;
}

void loss_run(struct loss *l, const float *h, const struct target *targets, int64_t n, double weight, float *dh,
              struct loss_sums *sums)
{
    int64_t d = l->m->config.hidden_size;
    for (int64_t first = 0; first < n; first += l->chunk) {
        int64_t rows = n - first < l->chunk ? n - first : l->chunk;
        const struct target *t = targets + first;
        model_logits(l->m, h + first * d, rows, l->logits);
        chunk_statistics(l, t, rows);
        add_values(l, t, rows, sums);
        if (!dh)
            continue;
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < rows; i++)
            row_gradient(l, i, &t[i], weight);
        model_logits_backward(l->m, dh + first * d, l->logits, h + first * d, rows);
    }
    if (dh)
        sum_f32(&l->m->shards, dh, n * d);
}

void loss_log_probabilities(struct loss *l, const float *h, const struct target *targets, int64_t n, double *logp,
                            unsigned char *correct)
{
    int64_t d = l->m->config.hidden_size;
    for (int64_t first = 0; first < n; first += l->chunk) {
        int64_t rows = n - first < l->chunk ? n - first : l->chunk;
        model_logits(l->m, h + first * d, rows, l->logits);
        chunk_statistics(l, targets + first, rows);
        for (int64_t i = 0; i < rows; i++) {
            logp[first + i] = l->rows[i].target - l->rows[i].lse;
            correct[first + i] = is_correct(l, i);
        }
    }
}
