/* export: a model, with its adapter merged or without one, as a Hugging Face directory. */
#ifndef RETORT_JOB_EXPORT_H
#define RETORT_JOB_EXPORT_H

#include "job/solo.h"

struct export_options {
    struct solo_options solo;
    enum dtype dtype;
    const char *out;
};

/* Collective over world. ERR_ENVIRONMENT: out exists and is not empty, or cannot be written. */
int export_run(const struct comm *world, const struct export_options *o, struct err *e);

#endif
