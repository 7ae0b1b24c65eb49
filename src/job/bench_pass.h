/* What `retort bench` runs: a model on made-up tokens. Private to job/bench*.c. */
#ifndef RETORT_JOB_BENCH_PASS_H
#define RETORT_JOB_BENCH_PASS_H

#include "base/profile.h"
#include "data/corpus.h"
#include "job/bench.h"
#include "job/bench_shapes.h"
#include "model/model.h"
#include "par/groups.h"

struct bench {
    const struct bench_options *o;
    const struct comm *world;
    struct groups groups;
    struct model *m;
    struct corpus *corpus; /* `sequences` of them for each replica, one document each, all tokens supervised */

    struct shapes shapes; /* of all timed passes */
    double seconds;       /* of the median pass */
    double memory;        /* bytes at most in use on this rank */
    struct profile profile;
};

/* Collective over world. Times o->repeat passes after one that warms up. */
int bench_time(struct bench *b, int (*pass)(void *context, struct err *e), void *context, struct err *e);

/* Collective over world. The passes: labels of all sequences; one training step on them; head and loss alone; every
 * product of a block and the head through the door by itself. */
int bench_teacher(struct bench *b, struct err *e);
int bench_student(struct bench *b, struct err *e);
int bench_head(struct bench *b, struct err *e);
int bench_gemm(struct bench *b, struct err *e);

/* Collective over world, two ranks and more: records from the first half of the ranks to the second. */
int bench_stream(const struct comm *world, const struct bench_options *o, struct strbuf *out, struct err *e);

/* Collective over world. Records into a store and out again, in a directory of its own that is removed. */
int bench_store(const struct comm *world, const struct bench_options *o, struct strbuf *out, struct err *e);

#endif
