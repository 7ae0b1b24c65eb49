/* YAML as a tree of nodes, each with its full key and its place, so that every complaint can name both.
 *
 * The part of YAML that a job needs: mappings with plain keys, lists, scalars; block or flow. Anchors, aliases, tags,
 * keys with dots, a key twice, a second document, zero bytes and absurd sizes are errors. Libyaml reads the text; what
 * is not UTF-8 does not get past it. */
#ifndef RETORT_CONF_NODE_H
#define RETORT_CONF_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

enum {
    NODE_TEXT_LIMIT = 1 << 20, /* bytes of a job file or of one --set */
    NODE_LIMIT = 10000,        /* nodes of one text */
    NODE_DEPTH_LIMIT = 8,      /* the deepest key of a job is at 5 */
    NODE_KEY_LIMIT = 64        /* bytes of one key */
};

enum spot_kind { SPOT_NONE, SPOT_FILE, SPOT_SET }; /* a default, the job file, --set */

/* Where a value comes from. */
struct spot {
    enum spot_kind kind;
    const char *file; /* borrowed: the job file's name; NULL if it is not from there */
    int line, column; /* from 1 */
};

enum node_kind { NODE_SCALAR, NODE_MAP, NODE_LIST };

struct node {
    enum node_kind kind;
    const char *key;       /* full: "train.steps", "data.train[0].path"; "" for the root of a file */
    struct spot spot;      /* of the value */
    struct spot key_spot;  /* of the key; of the value where there is none */
    const char *text;      /* scalar: terminated, without zero bytes */
    bool plain;            /* scalar: written without quotes, so that null, true and numbers mean themselves */
    struct node *children; /* map, list: in the order of the text */
    struct node *next;     /* the next child of the same parent */
    int count;             /* of children */
};

/* One document. key: what the root stands for. from: the source; line and column are counted here. All memory is the
 * arena's. *out is NULL if the text holds no document. -1, ERR_USAGE. */
int node_parse(struct node **out, struct arena *arena, const char *text, size_t size, const char *key,
               const struct spot *from, struct err *e);

bool node_is_null(const struct node *n);              /* null, ~ or nothing */
bool node_is(const struct node *n, const char *word); /* a plain scalar of this text */

/* The value for an error text: "a mapping", "null", "12x" (quoted, cut, one line). buffer is returned. */
enum { NODE_SHOWN = 64 };
const char *node_show(const struct node *n, char buffer[NODE_SHOWN]);

/* Text of any origin, cut to one printable line that fits the buffer. */
const char *text_show(const char *text, char buffer[NODE_SHOWN]);

/* ERR_USAGE "file:line:col: key: ...", "--set key: ..." or "key: ...", by the kind of the spot. */
int spot_refuse(const struct spot *s, const char *key, struct err *e, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The beginning of such a text without the last colon; arena memory. */
const char *spot_text(const struct spot *s, const char *key, struct arena *arena);

#endif
