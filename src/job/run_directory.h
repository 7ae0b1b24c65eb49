/* The run directory: what an earlier run left there, and where this one begins (SEMANTICS, Who runs what). */
#ifndef RETORT_JOB_RUN_DIRECTORY_H
#define RETORT_JOB_RUN_DIRECTORY_H

#include "conf/job.h"
#include "job/run.h"

struct run_start {
    bool finished;      /* the result is there: nothing to do */
    int64_t checkpoint; /* the step to go on from; 0: from the beginning */
};

/* Local, on the rank that writes the directory. Makes it, refuses one of another job naming the keys that differ,
 * writes job.yaml. ERR_USAGE: another job, or --resume with nothing to resume; ERR_ENVIRONMENT: it cannot be written.
 */
int run_directory_begin(struct run_start *start, const struct job *job, const struct run_options *options,
                        struct err *e);

/* The logs of a training and of an evaluation in the directory. */
#define TRAINING_LOG "log.txt"
#define EVALUATION_LOG "evaluate.log"

/* Local, on the rank that writes the directory, which is there: the log goes to this file of it, too. */
void run_directory_log(const struct job *job, const struct run_options *options, const char *name);

/* "model" or "adapter": what the job's method leaves behind. */
const char *run_directory_result(const struct job *job);

#endif
