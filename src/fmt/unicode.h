/* UTF-8 and the few Unicode properties that a tokenizer asks for. Characters are code points; text is never terminated.
 */
#ifndef RETORT_FMT_UNICODE_H
#define RETORT_FMT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "base/utf8.h"

/* The begin of the character that ends at end, in well-formed text that is not empty. */
const char *utf8_previous(const char *end);
void utf8_append(struct strbuf *out, uint32_t c);
/* Whether text is exactly one character; *c becomes it. */
bool utf8_is_one(const char *text, size_t size, uint32_t *c);

bool unicode_is_space(uint32_t c); /* White_Space */
bool unicode_is_word(uint32_t c);  /* letters, marks, decimal digits, connectors: \w of regular expressions */

/* Appends the canonical composition (NFC) of well-formed text, as `tokenizers` makes it: its normaliser is of Unicode
 * 9, later characters neither move nor compose. */
void unicode_append_nfc(struct strbuf *out, const char *text, size_t size);

/* Characters first .. last, all of one general category ("Lu"). */
struct unicode_range {
    uint32_t first, last;
    char category[3];
};
/* The characters that came after Unicode 14, in order: an older PCRE2 does not know their categories. */
const struct unicode_range *unicode_newer(size_t *count);

#endif
