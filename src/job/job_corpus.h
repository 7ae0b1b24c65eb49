/* The corpus of a job on this host: where its file is kept, built if it is not there. */
#ifndef RETORT_JOB_JOB_CORPUS_H
#define RETORT_JOB_JOB_CORPUS_H

#include "conf/job.h"
#include "data/corpus.h"

/* Local. What packing depends on. Release with job_corpus_release. */
void job_corpus_spec(struct corpus_spec *spec, const struct job *job);
void job_corpus_release(struct corpus_spec *spec);

/* The file for a key: $RETORT_CACHE, or retort-<uid> under $TMPDIR or /tmp. mem_free it. */
char *job_corpus_path(uint64_t key);

/* Local. Builds the file if it is not there whole; a damaged one is built again. */
int job_corpus_build(const struct corpus_spec *spec, const struct tokenizer *t, const char *path, uint64_t key,
                     struct err *e);

#endif
