/* The regular expressions of a tokenizer.json. They are written for Oniguruma (Ruby syntax); we run them by PCRE2. What
 * the two read differently is translated, what we cannot translate faithfully is refused with the place: a pattern that
 * cuts text elsewhere gives other tokens and nobody would see it. */
#ifndef RETORT_FMT_TOKENIZER_PATTERN_H
#define RETORT_FMT_TOKENIZER_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/strbuf.h"

struct pattern; /* immutable: any number of threads may search */

/* where stands in errors ("tokenizer.json: pre_tokenizer Split"). source is UTF-8. */
int pattern_compile(struct pattern **out, const char *source, const char *where, struct err *e);
/* Matches this text and nothing else; it must not be empty. */
struct pattern *pattern_literal(const char *text, size_t size);
void pattern_free(struct pattern *p);

/* Oniguruma's pattern in PCRE2's words, for the options that pattern_compile sets (tokenizer_pattern_syntax.c). */
int pattern_translate(struct strbuf *out, const char *source, const char *where, struct err *e);

/* What one thread needs to search: memory for PCRE2. */
struct pattern_memory;
struct pattern_memory *pattern_memory_new(void);
void pattern_memory_free(struct pattern_memory *m);

/* Walks the matches from left to right; an empty match right behind the last one is passed over. text is well-formed
 * UTF-8, and nothing outside of it is seen by a look-around. A search that goes past PCRE2's limits (a pattern that
 * backtracks without end) is logged as a warning and counts as no match. */
struct pattern_walk {
    const struct pattern *pattern;
    struct pattern_memory *memory;
    const char *text;
    size_t size, at, last_end;
    bool matched; /* last_end is the end of a match */
    size_t start, end;
};
void pattern_walk_init(struct pattern_walk *w, const struct pattern *p, struct pattern_memory *m, const char *text,
                       size_t size);
/* The next match is [w->start, w->end); false if there is none. */
bool pattern_walk_next(struct pattern_walk *w);

#endif
