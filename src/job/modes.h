/* The modes of a job; run.c picks one. Private to src/job. Each is collective over the world of an open context. */
#ifndef RETORT_JOB_MODES_H
#define RETORT_JOB_MODES_H

#include "job/context.h"

/* distill and finetune: one loop, with and without labels (train.c). */
int mode_train(struct context *c, struct err *e);
/* The same run from its checkpoint of that step on, on other groups: neither the run directory nor what an earlier
 * start left there is looked at. */
int mode_train_on(struct context *c, int64_t step, struct err *e);
/* precompute: every rank a teacher, the labels of the job's sequences into its store (precompute.c). */
int mode_precompute(struct context *c, struct err *e);
/* evaluate: teacher, untrained student, trained student on the validation data (evaluate.c). */
int mode_evaluate(struct context *c, struct err *e);

#endif
