/* prune: a student that starts as some of a teacher's layers. */
#ifndef RETORT_JOB_PRUNE_H
#define RETORT_JOB_PRUNE_H

#include "base/dtype.h"
#include "base/err.h"
#include "par/comm.h"

struct prune_options {
    const char *model, *out;
    const char *layers; /* "0,3,6", "0-9" or "0-3,8": in the order in which they shall stand */
    enum dtype dtype;   /* F32, BF16 or F16 */
};

/* Collective over world. Writes a Hugging Face directory: weights, config, tokenizer. ERR_USAGE: layers that cannot be
 * read, or that the model lacks; ERR_INPUT: the model; ERR_ENVIRONMENT: out is not empty, or cannot be written. */
int prune_run(const struct comm *world, const struct prune_options *o, struct err *e);

#endif
