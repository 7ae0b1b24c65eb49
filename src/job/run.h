/* Jobs: what `retort run` does once the job is parsed. Collective over the world unless said otherwise. */
#ifndef RETORT_JOB_RUN_H
#define RETORT_JOB_RUN_H

#include <signal.h>
#include <stdbool.h>

#include "conf/job.h"
#include "learn/trainer.h"
#include "par/groups.h"

/* How far a precompute is, with all that the store had before. */
struct label_progress {
    int64_t done, total; /* sequences */
    double tokens_per_second, seconds_left;
};

/* What a run tells the program that started it; root (the rank that writes the run directory) calls, the others do not.
 */
struct run_observer {
    /* The run directory exists: the log may go to this file of it, too. */
    void (*log)(void *context, const char *path);
    void (*step)(void *context, const struct step_metrics *s, int64_t steps);
    void (*validation)(void *context, int64_t step, const struct validation_metrics *v);
    void (*labels)(void *context, const struct label_progress *p);
    /* A text for the user that is the result itself (the table of an evaluation). */
    void (*result)(void *context, const char *text);
    void *context;
};

struct run_options {
    bool fresh;     /* replace an existing run directory */
    bool resume;    /* insist that there is something to resume */
    enum role role; /* --role of an MPMD launch, or ROLE_ANY */
    /* Set on any student by a signal: the run stops after the step in work, with a checkpoint and ERR_STOPPED. In
     * precompute on any rank: it stops after the sequences in work, with all labels in the store. */
    const volatile sig_atomic_t *stop;
    const struct run_observer *observer;
};

/* Runs the job in its mode. -1 with the same error on all ranks. */
int job_run(const struct comm *world, const struct job *job, const struct run_options *options, struct err *e);

/* The shapes of the two groups and who exists in this mode (SEMANTICS, Who runs what). Local. */
enum group_plan job_plan(const struct job *job, struct group_shape *teacher, struct group_shape *student);

#endif
