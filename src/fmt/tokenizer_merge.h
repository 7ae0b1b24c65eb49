/* Merging a run of symbols, and remembering the runs that were merged before. Part of tokenizer_bpe.h. */
#ifndef RETORT_FMT_TOKENIZER_MERGE_H
#define RETORT_FMT_TOKENIZER_MERGE_H

#include "fmt/tokenizer_bpe.h"

const struct merge *merge_map_find(const struct merge_map *m, uint64_t pair); /* NULL if absent */

void bpe_add_to_run(struct bpe_memory *m, uint32_t id);
/* Appends the merged run to out; the run is empty afterwards. */
void bpe_merge_run(const struct bpe *b, struct bpe_memory *m, struct token_list *out);

#endif
