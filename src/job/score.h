/* score: log-probabilities of documents under a model. Documents are not packed: each is cut into windows of
 * sequence_length without overlap, each starting afresh; the first token of a window is not scored (SEMANTICS). */
#ifndef RETORT_JOB_SCORE_H
#define RETORT_JOB_SCORE_H

#include "base/strbuf.h"
#include "data/document.h"
#include "job/solo.h"

struct score_options {
    struct solo_options solo;
    struct data_file data;
    const char *template_name;
    bool per_token, json;
};

/* Collective over world. out (rank 0): the JSON document, or lines for a person. */
int score_run(const struct comm *world, const struct score_options *o, struct strbuf *out, struct err *e);

#endif
