/* Text as Python sees it, where we must do as it does: white space at the ends and bytes that are not UTF-8. */
#ifndef RETORT_DATA_TEXT_H
#define RETORT_DATA_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"

/* [text, text + *size) without the white space around it, as str.strip() of the UTF-8 text. */
const char *text_trim(const char *text, size_t *size);

/* The length of the well-formed UTF-8 sequence at text, or 0; then *skip is the number of bytes that Python's
 * errors="replace" turns into one U+FFFD. size > 0. */
size_t text_sequence(const char *text, size_t size, size_t *skip);

/* Whether all of it is well-formed UTF-8. */
bool text_is_utf8(const char *text, size_t size);

/* Appends text, with U+FFFD in place of what is not UTF-8. Returns the number of bytes replaced. */
size_t text_repair(const char *text, size_t size, struct strbuf *out);

#endif
