/* Text to token ids and back, as the `tokenizers` library does it with add_special_tokens=False: added and special
 * tokens in the text are matched, nothing is added.
 *
 * Byte-level BPE (GPT-2, Llama 3, Qwen, SmolLM) and byte-fallback BPE (Llama 2, Mistral, TinyLlama), from
 * tokenizer.json or from GGUF metadata. What a tokenizer.json asks for and we do not have (a normaliser, a
 * pre-tokenizer, a model type) is refused by name, never ignored. Immutable once open: any number of threads may
 * encode. */
#ifndef RETORT_FMT_TOKENIZER_H
#define RETORT_FMT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"

struct gguf;
struct tokenizer;

/* A growing list of token ids. */
struct token_list {
    uint32_t *ids; /* owned */
    size_t count, room;
};
void token_list_release(struct token_list *l);
void token_list_add(struct token_list *l, uint32_t id);

/* path: a Hugging Face directory (tokenizer.json, and tokenizer_config.json / chat_template.jinja /
 * special_tokens_map.json / generation_config.json / config.json where present) or a .gguf file. */
int tokenizer_open(struct tokenizer **out, const char *path, struct err *e);
int tokenizer_from_json(struct tokenizer **out, const char *text, size_t size, const char *name, struct err *e);
int tokenizer_from_gguf(struct tokenizer **out, const struct gguf *g, const char *name, struct err *e);
void tokenizer_close(struct tokenizer *t);

/* Appends the ids of text[size] to out. A pattern that backtracks without end stops cutting there, with a warning.
 * Bytes that are not UTF-8 become U+FFFD as Python's errors="replace" does it; *replaced (may be NULL) counts them. */
void tokenizer_encode(const struct tokenizer *t, const char *text, size_t size, struct token_list *out,
                      size_t *replaced);

/* Appends the text of ids, as tokenizers' decode: skip_special leaves special tokens out. Ids outside the vocabulary
 * are left out. */
void tokenizer_decode(const struct tokenizer *t, const uint32_t *ids, size_t count, bool skip_special,
                      struct strbuf *out);

/* The vocabulary: ids run to tokenizer_size() - 1, an id that no token names has a NULL piece. Pieces are in the
 * tokenizer's own alphabet, as `tokenizers` prints them ("Ġthe", "▁the", "<0x0A>"). */
uint32_t tokenizer_size(const struct tokenizer *t);
const char *tokenizer_piece(const struct tokenizer *t, uint32_t id);
bool tokenizer_is_special(const struct tokenizer *t, uint32_t id);
bool tokenizer_find(const struct tokenizer *t, const char *piece, uint32_t *id); /* exact piece or added token */

/* -1: there is none. add_*: what the tokenizer's own settings put around a document (post-processor, add_bos_token,
 * GGUF add_bos_token). */
int64_t tokenizer_bos(const struct tokenizer *t);
int64_t tokenizer_eos(const struct tokenizer *t);
bool tokenizer_adds_bos(const struct tokenizer *t);

/* The Jinja source of the chat template (the default one of several); NULL if none is carried. */
const char *tokenizer_chat_template(const struct tokenizer *t);

/* Hash over all that decides how a text becomes ids (the id -> token map, added and special tokens, merges, normaliser,
 * pre-tokenizer): part of the corpus key. */
uint64_t tokenizer_hash(const struct tokenizer *t);

/* Whether two tokenizers give every id the same token and have equal special tokens; an id that only one of them has is
 * no difference. Otherwise -1, ERR_INPUT, naming the first id that differs and both tokens. */
int tokenizer_compare(const struct tokenizer *a, const char *name_a, const struct tokenizer *b, const char *name_b,
                      struct err *e);

/* The files that make this tokenizer loadable by transformers (tokenizer.json, tokenizer_config.json, ...) written into
 * directory: copied where it came from a directory, made from the metadata where it came from a GGUF. */
int tokenizer_write(const struct tokenizer *t, const char *directory, struct err *e);

#endif
