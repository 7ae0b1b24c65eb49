/* Attention by its definition: one query at a time, in double. */
#include "kern/op_attention.h"

#include <math.h>

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

void attention_forward_ref(float *out, float *lse, const float *q, const float *k, const float *v,
                           const struct attention_shape *s)
{
    for (int h = 0; h < s->H; h++)
        for (int64_t i = 0; i < s->T; i++) {
            const int64_t first = document_start(s, i), kv = s->kv_of[h] * s->D;
            const float *qi = q + i * s->ldq + h * s->D;
            const double l = row_lse(qi, k + kv, s, first, i);
            lse[h * s->T + i] = (float)l;
            for (int d = 0; d < s->D; d++) {
                double sum = 0;
                for (int64_t j = first; j <= i; j++)
                    sum += exp(s->scale * dot(qi, k + j * s->ldk + kv, s->D) - l) * v[j * s->ldv + kv + d];
                out[i * s->ldo + h * s->D + d] = (float)sum;
            }
        }
}

/* p_ij and ds_ij of one pair of tokens and head */
static void pair(double *p, double *ds, const float *qi, const float *kj, const float *vj, const float *douti,
                 double lse, double delta, const struct attention_shape *s)
{
    *p = exp(s->scale * dot(qi, kj, s->D) - lse);
    *ds = *p * (dot(douti, vj, s->D) - delta) * s->scale;
}

static void backward_queries(float *dq, float *delta, const float *dout, const float *q, const float *k, const float *v,
                             const float *out, const float *lse, const struct attention_shape *s, int h, int64_t i)
{
    const int64_t first = document_start(s, i), head = h * s->D, kv = s->kv_of[h] * s->D;
    const float *qi = q + i * s->ldq + head, *douti = dout + i * s->ldo + head;
    const double de = dot(douti, out + i * s->ldo + head, s->D);
    delta[h * s->T + i] = (float)de;
    for (int d = 0; d < s->D; d++) {
        double sum = 0, p, ds;
        for (int64_t j = first; j <= i; j++) {
            pair(&p, &ds, qi, k + j * s->ldk + kv, v + j * s->ldv + kv, douti, lse[h * s->T + i], de, s);
            sum += ds * k[j * s->ldk + kv + d];
        }
        dq[i * s->ldq + head + d] = (float)sum;
    }
}

static void backward_keys(float *dk, float *dv, const float *dout, const float *q, const float *k, const float *v,
                          const float *out, const float *lse, const struct attention_shape *s, int kv, int64_t j)
{
    const float *kj = k + j * s->ldk + kv * s->D, *vj = v + j * s->ldv + kv * s->D;
    for (int d = 0; d < s->D; d++) {
        double sum_k = 0, sum_v = 0, p, ds;
        for (int h = 0; h < s->H; h++)
            for (int64_t i = j; s->kv_of[h] == kv && i < s->T && document_start(s, i) <= j; i++) {
                const float *qi = q + i * s->ldq + h * s->D, *douti = dout + i * s->ldo + h * s->D;
                const double delta = dot(douti, out + i * s->ldo + h * s->D, s->D);
                pair(&p, &ds, qi, kj, vj, douti, lse[h * s->T + i], delta, s);
                sum_k += ds * qi[d];
                sum_v += p * douti[d];
            }
        dk[j * s->ldk + kv * s->D + d] = (float)sum_k;
        dv[j * s->ldv + kv * s->D + d] = (float)sum_v;
    }
}

void attention_backward_ref(float *dq, float *dk, float *dv, float *delta, const float *dout, const float *q,
                            const float *k, const float *v, const float *out, const float *lse,
                            const struct attention_shape *s)
{
    for (int h = 0; h < s->H; h++)
        for (int64_t i = 0; i < s->T; i++)
            backward_queries(dq, delta, dout, q, k, v, out, lse, s, h, i);
    for (int kv = 0; kv < s->K; kv++)
        for (int64_t j = 0; j < s->T; j++)
            backward_keys(dk, dv, dout, q, k, v, out, lse, s, kv, j);
}
