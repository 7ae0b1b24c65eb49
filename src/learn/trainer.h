/* One student group in training: steps, validation, the state that a checkpoint keeps. Labels come from a source that
 * it does not know: the same trainer serves streamed, local and no labels (fine-tuning).
 *
 * All functions are collective over the student group unless they say otherwise. */
#ifndef RETORT_LEARN_TRAINER_H
#define RETORT_LEARN_TRAINER_H

#include "data/corpus.h"
#include "label/label.h"
#include "learn/items.h"
#include "learn/loss.h"
#include "learn/optimizer.h"
#include "learn/schedule.h"
#include "par/groups.h"

/* Where labels come from. Collective over the shards of a student replica; every shard gets the bytes (mem_alloc'ed).
 * waited: seconds that this rank waited are added. */
struct label_source {
    void *(*take)(void *context, int64_t item, const struct sequence *s, size_t *size, double *waited);
    void (*permit)(void *context, int64_t limit); /* items < limit may be made for this replica; NULL: no window */
    double (*teacher_wait)(void *context); /* seconds that teachers have waited so far, as known here; NULL: none */
    void *context;
};

struct train_spec {
    uint64_t seed;
    int64_t steps;
    int64_t sequences_per_step, sequences_per_micro_batch;
    int sequence_length;
    struct adamw adamw; /* learning_rate, scale and step are set by the trainer */
    struct schedule schedule;
    double clip_norm; /* 0: none */
    struct loss_spec loss;
    bool labels; /* false: cross-entropy alone */
    struct label_spec label;
    uint32_t label_vocabulary; /* ids of labels are below it */
    int window;
    int64_t memory_limit; /* bytes of a rank; 0: none */
};

struct step_metrics {
    int64_t step;
    double loss, kl, ce, learning_rate, grad_norm;
    int64_t tokens, supervised_tokens;
    double seconds, label_wait_seconds, reduce_wait_seconds, teacher_wait_seconds;
};

struct validation_metrics {
    double loss, kl, ce, perplexity, accuracy;
    int64_t supervised_tokens;
    double seconds;
    int64_t tokens;
};

struct trainer;

/* All pointers are borrowed and must outlive the trainer. source NULL: no labels. Under a memory limit activations of
 * as many blocks are computed again on the way back as it takes; what this process holds already counts. */
struct trainer *trainer_new(const struct train_spec *spec, struct model *student, const struct groups *g,
                            const struct corpus *c, const struct items *items, const struct label_source *source,
                            struct err *e);
void trainer_free(struct trainer *t);

/* Takes the labels of this replica's validation sequences and keeps them. Before the first step. */
void trainer_take_validation(struct trainer *t);

/* Step `step` (from 1). -1, ERR_INPUT on all ranks, if the loss or the gradient is no longer finite; weights are then
 * those before the step. */
int trainer_step(struct trainer *t, int64_t step, struct step_metrics *out, struct err *e);

void trainer_validate(struct trainer *t, struct validation_metrics *out);

struct optimizer *trainer_optimizer(struct trainer *t);

#endif
