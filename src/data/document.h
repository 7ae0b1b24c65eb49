/* Documents: what a data file holds, as token ids with a mask of what is supervised (SEMANTICS, From text to
 * sequences).
 *
 * text: a .jsonl file has one {"text": ...} a line, any other file is one document. completion: JSONL of {"prompt":
 * ..., "completion": ...}. chat: JSONL of {"messages": [{"role": ..., "content": ...}, ...]}. Blank lines are skipped,
 * other keys ignored, except those that would change what a template writes (tools, tool_calls), which are refused.
 * Tokenising runs on all threads of OpenMP; documents come in the order of the file, whatever their number. */
#ifndef RETORT_DATA_DOCUMENT_H
#define RETORT_DATA_DOCUMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "data/template.h"
#include "fmt/tokenizer.h"

enum data_format { DATA_TEXT, DATA_COMPLETION, DATA_CHAT };

struct data_file {
    const char *path;
    enum data_format format;
};

/* How text becomes documents. Everything is borrowed. */
struct document_rules {
    const struct tokenizer *tokenizer;
    const struct chat_template *chat; /* NULL where no file is of format chat */
    const char *system_prompt;        /* NULL: the template's own */
    bool append_eos;                  /* after text and completion */
};

/* Fills r. template_name as in chat_template_find, asked only with chat. ERR_INPUT if append_eos wants an
 * end-of-sequence token that the tokenizer lacks. */
int document_rules_init(struct document_rules *r, const struct tokenizer *t, bool chat, const char *template_name,
                        const char *system_prompt, bool append_eos, struct err *e);

struct document {
    struct token_list ids;
    unsigned char *supervised; /* [ids.count], owned: 1 if ids[i] is a target; 0 at the first token */
    int64_t bytes_replaced;    /* bytes that were not UTF-8 */
    bool whole;                /* completion and chat: packing never splits it */
};
void document_release(struct document *d);

/* The document of one text, or of one line of JSON (size bytes, need not be terminated). d is zeroed by the caller and
 * released by it, also after a failure. The error names no place: the caller puts it before. */
void document_from_text(struct document *d, const struct document_rules *r, const char *text, size_t size);
int document_from_json(struct document *d, const struct document_rules *r, enum data_format format, const char *line,
                       size_t size, struct err *e);

/* Called for each document in order; not 0 (with e set) ends the reading. The document is released afterwards unless
 * the visitor takes it and zeroes *d. */
typedef int document_visit(void *context, struct document *d, struct err *e);

/* Whether the file holds a document a line; else it is one document. */
bool document_file_has_lines(const struct data_file *file);

/* All documents of a file. Errors are "path:line: what is wrong". */
int document_read_file(const struct data_file *file, const struct document_rules *r, document_visit *visit,
                       void *context, struct err *e);

#endif
