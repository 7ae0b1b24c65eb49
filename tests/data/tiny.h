/* A tokenizer small enough to be known by heart, the files of a test, and an encoder that is the tests' own: ids 0..255
 * are the bytes, "th" and "\n\n" merge everywhere, special tokens follow. */
#ifndef RETORT_TESTS_DATA_TINY_H
#define RETORT_TESTS_DATA_TINY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "fmt/tokenizer.h"

enum { TINY_TH = 256, TINY_NEWLINES, TINY_SPECIALS };

/* From TINY_SPECIALS on. */
enum {
    TINY_END_OF_TEXT = TINY_SPECIALS,
    TINY_IM_START,
    TINY_IM_END,
    TINY_BOS,
    TINY_EOS,
    TINY_BEGIN_OF_TEXT,
    TINY_EOT_ID,
    TINY_SIZE
};

struct tiny_options {
    bool adds_bos;             /* <s> before each document */
    bool no_eos;               /* else </s> is the end of a sequence */
    bool no_eot_id;            /* leaves <|eot_id|> out */
    const char *chat_template; /* NULL: none */
};

/* Its tokenizer.json. */
void tiny_tokenizer_json(struct strbuf *out, const struct tiny_options *o);

/* Ends the test if it does not open. */
struct tokenizer *tiny_open(const struct tiny_options *o);

/* The ids of text, to room for size of them; their number. */
size_t tiny_encode(const char *text, size_t size, uint32_t *ids);

/* A directory of this process for files; removed with everything in it by tiny_remove_directory(). */
const char *tiny_directory(void);
int tiny_remove_directory(void **state);

/* Writes a file into it; the path is the caller's (mem_free). */
char *tiny_file(const char *name, const char *text, size_t size);
char *tiny_file_text(const char *name, const char *text);

#endif
