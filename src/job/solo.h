/* One model outside a job: score, generate, export. All ranks of the launch are its tensor-parallel shards. */
#ifndef RETORT_JOB_SOLO_H
#define RETORT_JOB_SOLO_H

#include "fmt/tokenizer.h"
#include "kern/gemm.h"
#include "model/model.h"
#include "par/comm.h"

struct solo {
    const struct comm *world;
    struct model *model;
    struct tokenizer *tokenizer;
};

struct solo_options {
    const char *model, *adapter; /* adapter NULL: none */
    enum precision precision;
    bool forward_only; /* model.h */
    int64_t positions; /* 0: the smaller of the model's limit (its sliding window, if that is shorter) and `most` */
    int64_t most;
    const int *keep; /* [keep_count]: blocks that make up the model; NULL: all */
    int keep_count;
    int threads; /* 0: the cores of this rank */
};

/* Collective over world. positions in effect: s->model->options.positions. */
int solo_open(struct solo *s, const struct comm *world, const struct solo_options *o, struct err *e);
void solo_close(struct solo *s);

#endif
