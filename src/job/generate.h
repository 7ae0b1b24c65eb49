/* generate: one continuation of one prompt, with a key/value cache; greedy at temperature 0, sampled above it. */
#ifndef RETORT_JOB_GENERATE_H
#define RETORT_JOB_GENERATE_H

#include "base/strbuf.h"
#include "job/solo.h"

struct generate_options {
    struct solo_options solo;
    const char *prompt;
    bool chat; /* the prompt is a user's message in the model's chat template */
    const char *template_name, *system_prompt;
    int64_t max_tokens;
    double temperature;
    uint64_t seed;
    bool json;
    /* Text as it comes (rank 0); NULL: none. */
    void (*text)(void *context, const char *bytes, size_t size);
    void *context;
};

/* Collective over world. out (rank 0): the JSON document with options.json. */
int generate_run(const struct comm *world, const struct generate_options *o, struct strbuf *out, struct err *e);

#endif
