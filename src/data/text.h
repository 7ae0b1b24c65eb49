/* Text as Python sees it, where we must do as it does: white space at the ends. */
#ifndef RETORT_DATA_TEXT_H
#define RETORT_DATA_TEXT_H

#include <stddef.h>

/* [text, text + *size) without the white space around it, as str.strip() of the UTF-8 text. */
const char *text_trim(const char *text, size_t *size);

#endif
