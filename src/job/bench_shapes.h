/* The products that a pass sends through the GEMM door, each shape once, and what the libraries reach at them. */
#ifndef RETORT_JOB_BENCH_SHAPES_H
#define RETORT_JOB_BENCH_SHAPES_H

#include "base/err.h"
#include "base/strbuf.h"
#include "kern/gemm.h"

struct shape_count {
    struct gemm_call call; /* seconds: of all calls */
    int64_t calls;
    double best;    /* seconds of the fastest of the calls */
    double ceiling; /* seconds of the best library call */
};

struct shapes {
    struct shape_count *items;
    int count;
};

void shapes_watch(struct shapes *s); /* from now on, until shapes_stop */
void shapes_stop(void);
void shapes_release(struct shapes *s);

/* Local. Fills in the ceilings. */
int shapes_measure(struct shapes *s, struct err *e);

double shapes_flops(const struct shapes *s);
double shapes_seconds(const struct shapes *s);
double shapes_ceiling_seconds(const struct shapes *s); /* all calls, each in the best time of its shape */

/* A line for each shape; passes: how often what was watched ran. */
void shapes_print(const struct shapes *s, int passes, struct strbuf *out);

#endif
