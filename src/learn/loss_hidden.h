/* Labels that are the teacher's own states (`hidden`): its head makes their distributions again, a chunk of rows at a
 * time, exact and at any temperature. Private to learn/loss.c.
 *
 *     p = softmax(W_teacher h / T) over the ids that take part,  KL = sum p (log p - log q),  dKL/d(z/T) = q - p */
#ifndef RETORT_LEARN_LOSS_HIDDEN_H
#define RETORT_LEARN_LOSS_HIDDEN_H

#include "learn/loss.h"

struct hidden_rows;

/* Local. V: this shard's vocabulary; chunk: most rows at once. spec is borrowed. NULL and ERR_ENVIRONMENT if memory is
 * short. */
struct hidden_rows *hidden_rows_new(const struct loss_spec *spec, int64_t V, int64_t chunk, struct err *e);
void hidden_rows_free(struct hidden_rows *r);

/* Collective over shards. The distributions of n targets, which have states, beside the student's logits z[n, V]. */
void hidden_rows_make(struct hidden_rows *r, const struct comm *shards, const struct target *targets, int64_t n,
                      const float *z);

/* Local. The KL of row i, given log sum exp of the student's logits over T. */
double hidden_rows_kl(const struct hidden_rows *r, int64_t i, double lse);
/* x[V] -= a p of row i. */
void hidden_rows_subtract(const struct hidden_rows *r, int64_t i, double a, float *x);

#endif
