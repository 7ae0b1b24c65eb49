/* The model's vocabulary: id to piece and piece to id. Added tokens are no part of it (tokenizer_added.h): merging must
 * not see them. */
#ifndef RETORT_FMT_TOKENIZER_VOCAB_H
#define RETORT_FMT_TOKENIZER_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

#define TOKEN_NONE UINT32_MAX
/* Ids index arrays: a file that claims more is refused before memory is. The largest vocabulary in use has 2^20. */
enum { TOKEN_ID_MAX = (1 << 22) - 1 };

struct vocab_place {
    size_t offset, size; /* in bytes; size 0: no piece has this id */
};

struct vocab {
    struct strbuf bytes;        /* all pieces, each terminated */
    struct vocab_place *places; /* [size], by id */
    uint32_t size, room;        /* size: the largest id + 1 */
    uint32_t count;             /* pieces */
    uint32_t *slots;            /* hash table of ids, open addressing; TOKEN_NONE: free */
    size_t slot_count;          /* a power of two */
    uint32_t *characters;       /* [65536]: the id of a piece that is this one character */
};

void vocab_init(struct vocab *v);
void vocab_release(struct vocab *v);

/* False, and nothing added, if the id or the piece is there already. id <= TOKEN_ID_MAX, size > 0; piece is copied. */
bool vocab_add(struct vocab *v, const char *piece, size_t size, uint32_t id);

uint32_t vocab_find(const struct vocab *v, const char *piece, size_t size); /* TOKEN_NONE if absent */
uint32_t vocab_find_character(const struct vocab *v, uint32_t c);
const char *vocab_piece(const struct vocab *v, uint32_t id, size_t *size); /* NULL if absent */

#endif
