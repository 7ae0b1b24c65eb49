/* The way of a text to the words that the model sees: the normaliser and the pre-tokenizer of a tokenizer.json, taken
 * apart into small steps. A normaliser changes text; a pre-tokenizer also cuts it.
 *
 *   ByteLevel -> prefix " " (add_prefix_space), split by GPT-2's pattern (use_regex), bytes
 *   Digits    -> split by \p{N}
 *   Metaspace -> replace " ", prefix (prepend_scheme), split (split) */
#ifndef RETORT_FMT_TOKENIZER_STEPS_H
#define RETORT_FMT_TOKENIZER_STEPS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"
#include "fmt/json_fields.h"
#include "fmt/tokenizer_pattern.h"

enum step_kind {
    STEP_NFC,
    STEP_PREFIX,  /* text before every piece that is not empty */
    STEP_REPLACE, /* every match by text */
    STEP_SPLIT,
    STEP_BYTES, /* every byte becomes a printable character: GPT-2's alphabet */
};

/* What becomes of the matches of a split; the names are those of tokenizer.json. */
enum split_behavior {
    SPLIT_ISOLATED,
    SPLIT_REMOVED,
    SPLIT_CONTIGUOUS,
    SPLIT_MERGED_WITH_PREVIOUS,
    SPLIT_MERGED_WITH_NEXT,
};

struct step {
    enum step_kind kind;
    struct pattern *pattern; /* owned */
    struct strbuf text;
    bool unless_there; /* prefix: not before a piece that begins with it */
    bool only_first;   /* prefix: only at the beginning of the whole text */
    enum split_behavior behavior;
    bool invert; /* what lies between matches counts as the matches */
};

enum { STEPS_MAX = 16 };
struct steps {
    struct step step[STEPS_MAX];
    int count;
};

/* From the value of "normalizer" or "pre_tokenizer" (NULL or null: no steps). path stands in errors. */
int steps_read_normalizer(struct steps *s, const json_t *value, const char *path, struct err *e);
int steps_read_pre_tokenizer(struct steps *s, const json_t *value, const char *path, struct err *e);
void steps_release(struct steps *s);

/* What one thread needs to run steps. */
struct steps_memory {
    struct pattern_memory *patterns;
    struct strbuf made[STEPS_MAX]; /* the text that each step made */
};
void steps_memory_init(struct steps_memory *m);
void steps_memory_release(struct steps_memory *m);

/* Called for every piece, in order; never for an empty one. */
typedef void step_sink(void *context, const char *piece, size_t size, bool first);

/* Runs text through all steps. first: it begins where the whole text begins. */
void steps_run(const struct steps *s, struct steps_memory *m, const char *text, size_t size, bool first,
               step_sink *sink, void *context);

/* The byte that a character of GPT-2's alphabet stands for, or -1. */
int bytes_from_character(uint32_t c);
/* Where a tokenizer.json gives a pattern: {"String": s} or {"Regex": r}. kind: "normalizer Replace". */
int steps_read_pattern(struct pattern **out, const struct fields *f, const char *kind);

/* ERR_INPUT: "<path>: <kind> <type> is not supported; ..." for the rest of tokenizer.json's zoo. */
int steps_refuse_type(const struct fields *f, const char *kind, const char *supported);

#endif
