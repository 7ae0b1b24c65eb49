/* A job and its label store: what the job's labels are. */
#ifndef RETORT_JOB_LABEL_STORE_H
#define RETORT_JOB_LABEL_STORE_H

#include "job/context.h"
#include "label/store.h"

/* Local. Of the labels that the job asks for. writes: the teacher and its adapter are named, which reads their files.
 */
int label_store_description(struct store_description *d, const struct context *c, bool writes, struct err *e);

/* Local, before this job writes. Says in the log who else may be writing, and if labels there were drawn with another
 * labels.seed. */
void label_store_warn(const struct store *s, const struct job *job);

/* Local. One line for the eyes of others: host, process, and what it runs. mem_free it. */
char *label_store_owner(const char *what, const char *name);

#endif
