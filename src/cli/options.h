/* The command line of one command: a table of options that parses, checks and prints the help. */
#ifndef RETORT_CLI_OPTIONS_H
#define RETORT_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_INTEGER, OPTION_NUMBER, OPTION_CHOICE, OPTION_LIST };

struct option_list {
    const char **items; /* owned; the texts are argv's */
    int count;
};

/* One row. value points to bool, const char *, int64_t, double, int (index of the choice) or struct option_list; what
 * stands there before parsing is the default. */
struct option {
    const char *name; /* "--model" */
    enum option_kind kind;
    void *value;
    const char *argument; /* how help names the value: "DIR" */
    const char *help;
    const char *const *choices; /* NULL-terminated */
    bool required;
};

struct command_line {
    const char *command;          /* "score" */
    const char *usage;            /* "--model M --data F [options]" */
    const char *about;            /* what it does, one or two sentences */
    const struct option *options; /* ends with a NULL name */
    const char **positional;      /* [positional_most]: filled in; NULL where absent */
    const char *const *positional_names;
    int positional_least, positional_most;
};

/* 0: parsed. 1: --help was asked for; the text is in help. -1: ERR_USAGE that names the option, the nearest known one,
 * and what was expected. */
int options_parse(const struct command_line *line, int argc, char **argv, struct strbuf *help, struct err *e);
void option_list_release(struct option_list *l);

/* The one of count names that is nearest to word (edit distance at most 3), or NULL. */
const char *nearest_name(const char *word, const char *const *names, int count);

#endif
