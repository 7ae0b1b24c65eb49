/* What every mode of a job needs before its own work: groups, threads and ISA, tokenizers, the corpus, models. */
#ifndef RETORT_JOB_CONTEXT_H
#define RETORT_JOB_CONTEXT_H

#include "conf/job.h"
#include "data/corpus.h"
#include "fmt/tokenizer.h"
#include "job/run.h"
#include "label/label.h"
#include "learn/loss.h"
#include "model/model.h"
#include "par/groups.h"

struct context {
    const struct job *job;
    const struct comm *world;
    const struct run_options *options;
    struct groups groups;
    int threads;
    int64_t join_step; /* of a training that all ranks go on with as students after it; 0: it is not to be */
    bool root;         /* writes the run directory: the first student, or the first teacher where there is no student */

    struct tokenizer *tokenizer; /* the student's, or the teacher's where there is no student */
    struct corpus *corpus;
    uint64_t corpus_key;
    struct model_config teacher_config, student_config; /* family NULL: there is none */
    uint64_t *allowed;                                  /* vocabulary mask, global ids */
    int64_t allowed_end;

    struct model *teacher, *student;             /* NULL: not on this rank */
    uint64_t *teacher_allowed, *student_allowed; /* of this rank's shard; NULL: all */
};

/* Collective over world. Groups, threads, ISA, tokenizers, corpus. On failure everything is released. */
int context_open(struct context *c, const struct comm *world, const struct job *job, const struct run_options *options,
                 struct err *e);
void context_close(struct context *c);

/* Collective over world. Opens the models that this rank's role needs: the teacher on teachers (and on students where
 * labels are local), the student (trained as the job says, or only run if train is false) on students. Logs who is
 * where. */
int context_open_models(struct context *c, bool train, struct err *e);

/* Collective over the shards of the replica. Opens one of the job's two models, for inference. */
int context_open_model(struct context *c, const char *path, const char *adapter, enum job_precision precision,
                       const char *key, struct model **out, struct err *e);

/* Collective over the shards of the replica. The student as a checkpoint of the job's run directory has it. */
int context_open_checkpoint(struct context *c, int64_t step, struct model **out, struct err *e);

/* Collective over world. Logs the most memory that a rank has needed so far. */
void context_log_memory(const struct context *c);

enum precision context_precision(enum job_precision p);
struct label_spec context_label_spec(const struct context *c);
int64_t context_steps_sequences(const struct job *job); /* B */

/* Local. Prefixes an error of an input path with where its key stands in the job. */
void context_locate(const struct job *job, const char *key, struct err *e);

#endif
