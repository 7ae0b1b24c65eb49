/* Attention by its definition: one query at a time, in double. */
#include "kern/op_attention.h"

#include <math.h>

enum { MOST_D = 256 };

/* The first token of the document that token i is in. */
static int64_t document_start(const struct attention_shape *s, int64_t i)
{
    int n = 0;
    while (s->start[n + 1] <= i)
        n++;
    return s->start[n];
}

static double dot(const float *a, const float *b, int D)
{
    double sum = 0;
    for (int d = 0; d < D; d++)
        sum += (double)a[d] * b[d];
    return sum;
}

static double row_lse(const float *q, const float *k, const struct attention_shape *s, int64_t first, int64_t i)
{
    double max = -INFINITY, sum = 0;
    for (int64_t j = first; j <= i; j++)
        max = fmax(max, s->scale * dot(q, k + j * s->ldk, s->D));
    for (int64_t j = first; j <= i; j++)
        sum += exp(s->scale * dot(q, k + j * s->ldk, s->D) - max);
    return max + log(sum);
}

/* sum[D] += a x[D] */
static void add(double *sum, double a, const float *x, int D)
{
    for (int d = 0; d < D; d++)
        sum[d] += a * x[d];
}

static void store(float *to, const double *sum, int D)
{
    for (int d = 0; d < D; d++)
        to[d] = (float)sum[d];
}

void attention_forward_ref(float *out, float *lse, const float *q, const float *k, const float *v,
                           const struct attention_shape *s)
{
    for (int h = 0; h < s->H; h++)
        for (int64_t i = 0; i < s->T; i++) {
            const int64_t first = document_start(s, i), kv = s->kv_of[h] * s->D;
            const float *qi = q + i * s->ldq + h * s->D;
            const double l = row_lse(qi, k + kv, s, first, i);
            double sum[MOST_D] = {0};
            for (int64_t j = first; j <= i; j++)
                add(sum, exp(s->scale * dot(qi, k + j * s->ldk + kv, s->D) - l), v + j * s->ldv + kv, s->D);
            lse[h * s->ldl + i] = (float)l;
            store(out + i * s->ldo + h * s->D, sum, s->D);
        }
}

/* p_ij and ds_ij of one head and pair of tokens */
static void pair(double *p, double *ds, const float *qi, const float *kj, const float *vj, const float *douti,
                 double lse, double delta, const struct attention_shape *s)
{
    *p = exp(s->scale * dot(qi, kj, s->D) - lse);
    *ds = *p * (dot(douti, vj, s->D) - delta) * s->scale;
}

static void backward_query(float *dq, float *delta, const float *dout, const float *q, const float *k, const float *v,
                           const float *out, const float *lse, const struct attention_shape *s, int h, int64_t i)
{
    const int64_t head = h * s->D, kv = s->kv_of[h] * s->D;
    const float *qi = q + i * s->ldq + head, *douti = dout + i * s->ldo + head;
    const double d = dot(douti, out + i * s->ldo + head, s->D);
    double sum[MOST_D] = {0}, p, ds;
    for (int64_t j = document_start(s, i); j <= i; j++) {
        pair(&p, &ds, qi, k + j * s->ldk + kv, v + j * s->ldv + kv, douti, lse[h * s->ldl + i], d, s);
        add(sum, ds, k + j * s->ldk + kv, s->D);
    }
    delta[h * s->T + i] = (float)d;
    store(dq + i * s->ldq + head, sum, s->D);
}

static void backward_key(float *dk, float *dv, const float *dout, const float *q, const float *k, const float *v,
                         const float *out, const float *lse, const struct attention_shape *s, int kv, int64_t j)
{
    const float *kj = k + j * s->ldk + kv * s->D, *vj = v + j * s->ldv + kv * s->D;
    double sum_k[MOST_D] = {0}, sum_v[MOST_D] = {0}, p, ds;
    for (int h = 0; h < s->H; h++)
        for (int64_t i = j; s->kv_of[h] == kv && i < s->T && document_start(s, i) <= j; i++) {
            const float *qi = q + i * s->ldq + h * s->D, *douti = dout + i * s->ldo + h * s->D;
            const double d = dot(douti, out + i * s->ldo + h * s->D, s->D);
            pair(&p, &ds, qi, kj, vj, douti, lse[h * s->ldl + i], d, s);
            add(sum_k, ds, qi, s->D);
            add(sum_v, p, douti, s->D);
        }
    store(dk + j * s->ldk + kv * s->D, sum_k, s->D);
    store(dv + j * s->ldv + kv * s->D, sum_v, s->D);
}

void attention_backward_ref(float *dq, float *dk, float *dv, float *delta, const float *dout, const float *q,
                            const float *k, const float *v, const float *out, const float *lse,
                            const struct attention_shape *s)
{
    for (int h = 0; h < s->H; h++)
        for (int64_t i = 0; i < s->T; i++)
            backward_query(dq, delta, dout, q, k, v, out, lse, s, h, i);
    for (int kv = 0; kv < s->K; kv++)
        for (int64_t j = 0; j < s->T; j++)
            backward_key(dk, dv, dout, q, k, v, out, lse, s, kv, j);
}
