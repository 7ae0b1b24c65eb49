/* Chat templates: how messages become text and which of it is supervised.
 *
 * retort runs no Jinja. A template is a row of a table: headers, end of turn, default system prompt, BOS, trimming.
 * Those whose Jinja source we know are recognised by its hash; others are chosen by data.template; unknown ones are
 * refused
 * ("set data.template"). Every row equals transformers' apply_chat_template, with and without a system message (tests).
 * Tools, tool calls and roles other than system, user and assistant are refused. */
#ifndef RETORT_DATA_TEMPLATE_H
#define RETORT_DATA_TEMPLATE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "fmt/tokenizer.h"

struct chat_template; /* a table row: static */

struct chat_message {
    const char *role; /* system | user | assistant */
    const char *content;
};

/* name: the value of data.template ("auto" or NULL: by hash of the tokenizer's own). The tokenizer must know the
 * template's end of turn as one token. */
int chat_template_find(const struct chat_template **out, const char *name, const struct tokenizer *t, struct err *e);
const char *chat_template_name(const struct chat_template *t);
/* NULL-terminated list of all names. */
const char *const *chat_template_names(void);

/* A piece of the rendered conversation. Special tokens are part of the text; encoding matches them. */
struct chat_piece {
    char *text;
    bool supervised; /* what the model writes in an assistant turn: the content and the end-of-turn token */
};
struct chat_pieces {
    struct chat_piece *items; /* owned */
    int count;
};
void chat_pieces_release(struct chat_pieces *p);

/* Renders messages. A conversation that does not begin with a system message gets system_prompt as its first; NULL: the
 * template's default. generation: end with the header of an assistant turn (add_generation_prompt). ERR_INPUT for a
 * sequence of roles that the template does not allow. */
int chat_template_render(const struct chat_template *t, const struct chat_message *messages, int count,
                         const char *system_prompt, bool generation, struct chat_pieces *out, struct err *e);

#endif
