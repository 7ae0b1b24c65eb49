/* The teacher at work: one sequence in, one record of labels out. */
#ifndef RETORT_LEARN_TEACHER_H
#define RETORT_LEARN_TEACHER_H

#include "data/corpus.h"
#include "label/label.h"
#include "model/model.h"

struct teacher;

/* Collective over the model's shards. The model is borrowed. allowed: bit set over this shard's vocabulary, borrowed; NULL: all.
 * tokens: of the longest sequence. */
struct teacher *teacher_new(const struct model *m, const struct label_spec *spec, const uint64_t *allowed, int64_t tokens,
                            struct err *e);
void teacher_free(struct teacher *t);

/* Collective over the model's shards. Shard 0 gets the record (mem_alloc'ed), the others NULL. */
void *teacher_label(struct teacher *t, const struct sequence *s, size_t *size);

#endif
