/* UTF-8: what is well-formed (Unicode 3.9, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF), and
 * what stands for the rest. Text need not be terminated. */
#ifndef RETORT_BASE_UTF8_H
#define RETORT_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

/* The bytes of the character at text, or, negative, of the ill-formed part that stands there: its longest beginning
 * that could have become a character, at least one byte. size > 0. */
int utf8_measure(const char *text, size_t size);

/* How many bytes at the beginning of text are well-formed. */
size_t utf8_valid_prefix(const char *text, size_t size);

/* Whether all of a terminated text is well-formed. */
bool utf8_is_valid(const char *text);

/* Appends text; every ill-formed part becomes one U+FFFD, as Python's errors="replace" does it. Returns how many. */
size_t utf8_append_repaired(struct strbuf *out, const char *text, size_t size);

/* The character at *at, which moves behind it. The text must be well-formed and not at its end. */
uint32_t utf8_next(const char **at);

#endif
