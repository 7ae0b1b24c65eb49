/* The rows of the table of chat templates: private to template.c (which one) and render.c (what it writes). */
#ifndef RETORT_DATA_TEMPLATE_TABLE_H
#define RETORT_DATA_TEMPLATE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

/* What stands around a content. */
struct chat_turn {
    const char *open;  /* the header */
    const char *lead;  /* between header and content; an assistant writes it, so it is supervised there */
    const char *close; /* the end of the turn, supervised likewise */
    const char *after; /* what follows an end of turn and no model writes */
    bool trim;         /* white space around the content is left out */
};

enum chat_system {
    SYSTEM_TURN,          /* a turn of its own; turns may come in any order */
    SYSTEM_IN_FIRST_USER, /* stands before the first user's content; user and assistant must alternate */
    SYSTEM_IN_LAST_USER,  /* the same with the last one */
};

enum { TEMPLATE_SOURCES_MAX = 3 };

struct chat_template {
    const char *name;
    const char *bos;            /* at the very beginning */
    const char *preamble;       /* between the header and the content of the first system turn */
    const char *default_system; /* where a conversation has none; NULL: it stays without */
    const char *end_token;      /* the token that ends an assistant's turn */
    enum chat_system placement;
    bool thinks; /* assistant turns carry <think> blocks, of which only the last query's are kept (Qwen3) */
    struct chat_turn system, user, assistant;
    uint64_t sources[TEMPLATE_SOURCES_MAX]; /* XXH3-64 of known Jinja sources without outer white space; 0: none */
};

#endif
