/* The vocabulary mask of a KL: ids that both models have and that a token names. It concerns the KL alone (SEMANTICS,
 * Labels); padding ids (Qwen: 151,936 and 152,064 for one tokenizer) are masked on both sides. */
#ifndef RETORT_LEARN_VOCABULARY_H
#define RETORT_LEARN_VOCABULARY_H

#include <stdint.h>

#include "fmt/tokenizer.h"
#include "model/params.h"

/* Bit set over [0, vocab_size of the larger model) (mem_free it); one past the highest allowed id in *end. */
uint64_t *vocabulary_allowed(const struct tokenizer *t, int64_t teacher_size, int64_t student_size, int64_t *end);

/* The bits of a shard's range (mem_free it), or NULL if all of the model's vocab_size bits are set: it is NULL on every
 * shard or on none, since a softmax that is masked on one shard alone would be summed against another's maximum. */
uint64_t *vocabulary_of_shard(const uint64_t *allowed, struct range vocab, int64_t vocab_size);

#endif
