/* The losses as they are defined, one row, in double: what the tests hold the fast ones against. */
#include <math.h>
#include <stdbool.h>

#include "base/mem.h"
#include "learn/loss.h"

static bool is_allowed(const struct loss_spec *s, int64_t j)
{
    return !s->allowed || (s->allowed[j / 64] >> (j % 64) & 1);
}

static double log_sum_exp(const double *x, const bool *in, int64_t n)
{
    double max = -INFINITY, sum = 0;
    for (int64_t j = 0; j < n; j++)
        if (in[j] && x[j] > max)
            max = x[j];
    for (int64_t j = 0; j < n; j++)
        if (in[j])
            sum += exp(x[j] - max);
    return max + log(sum);
}

struct kl_row {
    const double *p; /* [V]: the label's mass of each id */
    const double *x; /* [V]: z / T */
    const bool *in, *in_tail;
    double tail;
    int64_t V;
};

static double kl_value(const struct kl_row *r, const struct target *t)
{
    double lse = log_sum_exp(r->x, r->in, r->V), kl = 0, entropy = 0;
    for (int64_t j = 0; j < r->V; j++)
        if (r->p[j] > 0) {
            kl += r->p[j] * (lse - r->x[j]);
            entropy -= r->p[j] * log(r->p[j]);
        }
    if (r->tail > 0) {
        kl += r->tail * (lse - log_sum_exp(r->x, r->in_tail, r->V));
        entropy -= r->tail * log(r->tail);
    }
    return kl - (t->set->kind == LABEL_TOP_K ? entropy : t->set->entropy[t->label]);
}

/* dz += factor * dKL/dz */
static void kl_gradient(const struct kl_row *r, double factor, double *dz)
{
    double lse = log_sum_exp(r->x, r->in, r->V), mass = r->tail;
    double lse_tail = r->tail > 0 ? log_sum_exp(r->x, r->in_tail, r->V) : 0;
    for (int64_t j = 0; j < r->V; j++)
        mass += r->p[j];
    for (int64_t j = 0; j < r->V; j++) {
        double g = r->in[j] ? mass * exp(r->x[j] - lse) - r->p[j] : 0;
        if (r->tail > 0 && r->in_tail[j])
            g -= r->tail * exp(r->x[j] - lse_tail);
        dz[j] += factor * g;
    }
}

double loss_ref(const struct loss_spec *spec, const float *z, int64_t V, const struct target *t, double *dz,
                struct loss_sums *sums)
{
    double *p = mem_array((size_t)V, sizeof *p), *x = mem_array((size_t)V, sizeof *x);
    double *y = mem_array((size_t)V, sizeof *y);
    bool *in = mem_array((size_t)V, sizeof *in), *in_tail = mem_array((size_t)V, sizeof *in_tail);
    bool *all = mem_array((size_t)V, sizeof *all);
    for (int64_t j = 0; j < V; j++) {
        x[j] = z[j] / spec->temperature;
        y[j] = z[j];
        in[j] = in_tail[j] = is_allowed(spec, j);
        all[j] = true;
    }
    double total = 0, T = spec->temperature, kl = 0;
    if (t->set) {
        for (int64_t k = t->set->first[t->label]; k < t->set->first[t->label + 1]; k++) {
            p[t->set->ids[k]] += t->set->p[k];
            in_tail[t->set->ids[k]] = false;
        }
        struct kl_row r = {p, x, in, in_tail, t->set->tail[t->label], V};
        double scale = spec->alpha * (spec->temperature_squared ? T * T : 1);
        kl = kl_value(&r, t);
        total += scale * kl;
        kl_gradient(&r, scale / T, dz);
    }
    double lse = log_sum_exp(y, all, V), ce = lse - z[t->id];
    for (int64_t j = 0; j < V; j++)
        dz[j] += spec->beta * (exp(y[j] - lse) - (j == t->id));
    sums->kl += kl;
    sums->ce += ce;
    sums->positions++;
    mem_free(p), mem_free(x), mem_free(y), mem_free(in), mem_free(in_tail), mem_free(all);
    return total + spec->beta * ce;
}
