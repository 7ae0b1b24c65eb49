/* The decoder of a tokenizer.json: how the pieces of ids become text again. */
#ifndef RETORT_FMT_TOKENIZER_DECODER_H
#define RETORT_FMT_TOKENIZER_DECODER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"
#include "fmt/json_fields.h"
#include "fmt/tokenizer_pattern.h"

enum decoder_kind {
    DECODE_BYTE_LEVEL,    /* GPT-2's alphabet back to bytes; bytes that are not UTF-8 become U+FFFD */
    DECODE_BYTE_FALLBACK, /* "<0x0A>" to its byte; a stretch of bytes that is not UTF-8 becomes U+FFFD for each */
    DECODE_REPLACE,
    DECODE_FUSE,      /* all pieces become one */
    DECODE_STRIP,     /* text from both ends of every piece */
    DECODE_METASPACE, /* the mark to a space, but at the very beginning to nothing */
};

struct decoder_step {
    enum decoder_kind kind;
    struct pattern *pattern; /* owned: replace */
    struct strbuf text;      /* replace: by this; strip, metaspace: this character */
    size_t from_start, from_end;
    bool drops_first; /* metaspace */
};

enum { DECODER_STEPS_MAX = 16 };
struct decoder {
    struct decoder_step step[DECODER_STEPS_MAX];
    int count; /* 0: pieces are joined by spaces */
};

/* From the value of "decoder" (NULL or null: none). */
int decoder_read(struct decoder *d, const json_t *value, const char *path, struct err *e);
void decoder_release(struct decoder *d);

/* Pieces, one after the other in bytes. */
struct pieces {
    struct strbuf bytes;
    size_t *ends; /* owned */
    size_t count, room;
};
void pieces_init(struct pieces *p);
void pieces_release(struct pieces *p);
void pieces_add(struct pieces *p, const char *text, size_t size);

/* Appends the text of the pieces, which are used up. */
void decoder_run(const struct decoder *d, struct pieces *p, struct strbuf *out);

#endif
