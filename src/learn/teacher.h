/* The teacher at work: one sequence in, one record of labels out. */
#ifndef RETORT_LEARN_TEACHER_H
#define RETORT_LEARN_TEACHER_H

#include "data/corpus.h"
#include "label/label.h"
#include "learn/loss.h"
#include "model/model.h"

struct teacher;

/* Collective over the model's shards. The model is borrowed. allowed: bit set over this shard's vocabulary, borrowed;
 * NULL: all. tokens: of the longest sequence. */
struct teacher *teacher_new(const struct model *m, const struct label_spec *spec, const uint64_t *allowed,
                            int64_t tokens, struct err *e);
void teacher_free(struct teacher *t);

/* Collective over the model's shards. Shard 0 gets the record (mem_alloc'ed), the others NULL. */
void *teacher_label(struct teacher *t, const struct sequence *s, size_t *size);

/* The same in pieces, for labels too large to stand in memory at once: teacher_read runs the sequence, then
 * teacher_encode makes the record of label positions [first, first + rows) alone. Collective over the model's shards.
 */
void teacher_read(struct teacher *t, const struct sequence *s);
void *teacher_encode(struct teacher *t, const struct sequence *s, int64_t first, int64_t rows, size_t *size);

/* Local. After teacher_read: the final norm's output at the label positions [labels, hidden], and what stands next
 * there. */
const float *teacher_hidden(const struct teacher *t);
const struct target *teacher_targets(const struct teacher *t);

/* Local. The communicator of its shards. */
const struct comm *teacher_shards(const struct teacher *t);

#endif
