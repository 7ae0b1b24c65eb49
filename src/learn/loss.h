/* Head and loss, chunked over tokens: logits of a whole sequence never exist at once; the gradient takes the logits'
 * place.
 *
 *     total = alpha * T^2 * KL(teacher || student at temperature T) + beta * cross-entropy at temperature 1,
 *
 * each summed over label positions and divided by one denominator, the supervised tokens of the global batch
 * (SEMANTICS, Loss). Everything in f32 log space, sums in f64. The KL runs over the ids that both models have
 * (allowed); the cross-entropy over the student's whole vocabulary. */
#ifndef RETORT_LEARN_LOSS_H
#define RETORT_LEARN_LOSS_H

#include <stdbool.h>
#include <stdint.h>

#include "label/label.h"
#include "model/model.h"

struct loss_spec {
    double temperature, alpha, beta;
    bool temperature_squared;
    bool tail;                  /* labels may have a tail class (top_k) */
    const uint64_t *allowed;    /* bit set over this shard's vocabulary; NULL: all (on every shard or on none) */
    struct matrix teacher_head; /* labels are hidden: rows of this shard's vocabulary; else cols is 0 */
    enum precision teacher_precision;
};

/* One label position of a batch. */
struct target {
    uint32_t id;                 /* the token that stands next */
    const struct label_set *set; /* NULL: cross-entropy alone */
    int label;                   /* index in set */
};

struct loss_sums {
    double kl, ce; /* sums over positions: KL at T without alpha and T^2; cross-entropy at temperature 1 */
    int64_t positions;
    int64_t correct; /* positions at which no other token has a higher logit than the one that stands there */
};

/* Work space for chunks of one model's logits. */
struct loss;
struct loss *loss_new(const struct model *m, const struct loss_spec *spec, int64_t positions, struct err *e);
void loss_free(struct loss *l);

/* Collective over the model's shards. h[n, hidden]: the final norm's output at the n label positions. Adds to sums.
 * With dh not NULL: dh[n, hidden] = gradient of (alpha T^2 kl + beta ce) * weight, summed over shards; the head's
 * gradient is accumulated. weight: 1 / denominator. */
void loss_run(struct loss *l, const float *h, const struct target *targets, int64_t n, double weight, float *dh,
              struct loss_sums *sums);

/* Collective over the model's shards. The log-probability of each target at temperature 1, and whether no other token
 * has a higher logit (score). */
void loss_log_probabilities(struct loss *l, const float *h, const struct target *targets, int64_t n, double *logp,
                            unsigned char *correct);

/* Plain definitions in double over one whole row, for tests: loss and gradient of one position. */
double loss_ref(const struct loss_spec *spec, const float *z, int64_t V, const struct target *t, double *dz,
                struct loss_sums *sums);

#endif
