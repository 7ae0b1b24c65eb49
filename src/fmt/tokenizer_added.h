/* Added tokens: strings that are found in the text before it is split, special ones among them. */
#ifndef RETORT_FMT_TOKENIZER_ADDED_H
#define RETORT_FMT_TOKENIZER_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct added_token {
    char *content;    /* owned */
    char *normalized; /* owned: what the normaliser makes of content; the same text if it changes nothing or is not
                         asked */
    uint32_t id;
    bool special;
    bool in_normalized;             /* sought in the normalised text, by its normalised form */
    bool single_word;               /* not beside a letter or digit */
    bool strips_left, strips_right; /* takes the white space beside it in */
};

/* All added tokens, by ascending id, and the two tries that find them. */
struct added_tokens {
    struct added_token *tokens; /* owned */
    size_t count, room;
    struct added_trie *raw, *normalized;
};

void added_tokens_release(struct added_tokens *a);
/* Takes the strings of token over. Tokens come in any order, each id once. */
void added_tokens_add(struct added_tokens *a, struct added_token token);
/* Ends adding. Returns a content that two tokens of one trie share, or NULL if all is well. */
const char *added_tokens_finish(struct added_tokens *a);
const struct added_token *added_tokens_by_id(const struct added_tokens *a, uint32_t id); /* NULL if absent */

/* Walks text as gaps and tokens, from left to right: of all tokens that begin first the longest. */
struct added_walk {
    const struct added_tokens *tokens;
    const struct added_trie *trie;
    const char *text;
    size_t size, at, done;
    const struct added_token *pending; /* found, but the gap before it comes first */
    size_t pending_start, pending_end;
    const struct added_token *token;
    size_t start, end;
};
void added_walk_init(struct added_walk *w, const struct added_tokens *a, bool normalized, const char *text,
                     size_t size);
/* The next part is [w->start, w->end), w->token or, for a gap, NULL. False at the end. No part is empty but a token's
 * that lies in what the token before stripped. */
bool added_walk_next(struct added_walk *w);

#endif
