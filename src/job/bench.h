/* This machine's figures beside its own ceiling: what a teacher, a student, the head, the products, the label stream
 * and the label store reach, where their time goes, and what the libraries' GEMM reaches at the same shapes in the same
 * run. */
#ifndef RETORT_JOB_BENCH_H
#define RETORT_JOB_BENCH_H

#include <stdbool.h>

#include "base/strbuf.h"
#include "kern/gemm.h"
#include "par/comm.h"

enum bench_what { BENCH_GEMM, BENCH_TEACHER, BENCH_STUDENT, BENCH_HEAD, BENCH_STREAM, BENCH_STORE };

struct bench_options {
    enum bench_what what;
    const char *model;     /* NULL: config */
    const char *config;    /* a config.json: weights are drawn */
    const char *directory; /* where a store is made; NULL: the current one */
    int layers;            /* 0: all */
    bool lora;             /* rank 16 on q_proj and v_proj, else every weight is trained */
    enum precision precision;
    int sequence_length, sequences; /* of a pass */
    int tensor_parallel;            /* 0: all ranks for a teacher, 1 for a student */
    int threads;                    /* 0: the cores of a rank */
    int repeat;                     /* timed passes; the median counts */
    int64_t memory_limit;           /* of a student, in bytes; 0: none */
    bool json;
};

/* Collective over world. The report, on world's rank 0. */
int bench_run(const struct comm *world, const struct bench_options *o, struct strbuf *out, struct err *e);

#endif
