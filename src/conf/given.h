/* What a job remembers of its text: which keys were given, and where. Behind job->memory. */
#ifndef RETORT_CONF_GIVEN_H
#define RETORT_CONF_GIVEN_H

#include "base/arena.h"
#include "conf/job.h"
#include "conf/node.h"

struct given {
    const char *key; /* a field, a group, or a part of a list: "data.train[0].path" */
    struct spot spot;
};

struct job_memory {
    struct arena arena;
    struct given *items; /* mem_ memory */
    int count, room;
};

void given_add(struct job_memory *m, const char *key, const struct spot *spot);
/* Forgets the key and all below it. */
void given_drop(struct job_memory *m, const char *key);
/* Where the key was given; its kind is SPOT_NONE if it was not. */
struct spot given_find(const struct job_memory *m, const char *key);

/* ERR_USAGE about a value that was found wrong after parsing: at its key, or at the nearest group around it. */
int job_refuse(const struct job *job, const char *key, struct err *e, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Fills in what follows from other keys, and checks what concerns several (check.c). stem: the job file's name without
 * directory and ending. */
int job_resolve(struct job *job, const char *stem, struct err *e);

#endif
