/* Byte-pair encoding of one word: its characters become symbols, then the pair of neighbours that stands first in the
 * merge list is joined, again and again (Sennrich et al. 2016), with the rules of the `tokenizers` library for
 * characters that the vocabulary lacks and for pairs of equal rank. */
#ifndef RETORT_FMT_TOKENIZER_BPE_H
#define RETORT_FMT_TOKENIZER_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fmt/tokenizer.h"
#include "fmt/tokenizer_vocab.h"

/* Two ids -> (rank, id of the joined token). */
struct merge {
    uint64_t pair; /* left << 32 | right; MERGE_FREE: no entry */
    uint32_t rank, id;
};
#define MERGE_FREE UINT64_MAX
#define MERGE_PAIR(left, right) ((uint64_t)(left) << 32 | (right))

struct merge_map {
    struct merge *slots; /* open addressing */
    size_t slot_count, count;
};

struct bpe {
    const struct vocab *vocab; /* borrowed */
    struct merge_map merges;
    struct merge_map joints; /* pairs of first symbols that some merge may join: see bpe_finish */
    uint32_t byte_ids[256];  /* of "<0x00>" ...: TOKEN_NONE where the vocabulary has none */
    uint32_t unknown;        /* TOKEN_NONE: characters without a token vanish */
    bool byte_fallback;      /* a character without a token becomes its bytes' tokens */
    bool fuse_unknown;       /* neighbouring unknown characters become one token */
    bool ignore_merges;      /* a word that is a token is that token, whatever the merges say */
    bool cut;                /* joints may be used */
};

/* vocab must be complete. Set the flags and unknown, add all merges in their order, then finish. */
void bpe_init(struct bpe *b, const struct vocab *v);
void bpe_release(struct bpe *b);
/* A pair that is there already takes the later rank, as in `tokenizers`. */
void bpe_add_merge(struct bpe *b, uint32_t left, uint32_t right, uint32_t rank, uint32_t id);
void bpe_finish(struct bpe *b);

/* What one thread needs to encode: room to merge in, and the results for words that it met before. */
struct bpe_memory;
struct bpe_memory *bpe_memory_new(void);
void bpe_memory_free(struct bpe_memory *m);

/* Appends the ids of one word (well-formed UTF-8). */
void bpe_encode(const struct bpe *b, struct bpe_memory *m, const char *word, size_t size, struct token_list *out);

#endif
