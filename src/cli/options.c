#include "cli/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/distance.h"
#include "base/mem.h"

/* --- nearest names --- */

enum { NEAR = 3 };

const char *nearest_name(const char *word, const char *const *names, int count)
{
    const char *best = NULL;
    int best_distance = NEAR + 1;
    for (int i = 0; i < count; i++) {
        int d = edit_distance(word, names[i]);
        if (d < best_distance) {
            best_distance = d;
            best = names[i];
        }
    }
    return best;
}

/* --- help --- */

static void print_help(const struct command_line *line, struct strbuf *help)
{
    strbuf_printf(help, "usage: retort %s %s\n\n%s\n", line->command, line->usage, line->about);
    if (line->options[0].name)
        strbuf_adds(help, "\n");
    for (const struct option *o = line->options; o->name; o++) {
        char *left = mem_printf("%s %s", o->name, o->argument ? o->argument : "");
        strbuf_printf(help, "  %-26s %s", left, o->help);
        for (int i = 0; o->choices && o->choices[i]; i++)
            strbuf_printf(help, "%s%s", i ? " | " : ": ", o->choices[i]);
        strbuf_adds(help, o->required ? " (required)\n" : "\n");
        mem_free(left);
    }
}

/* --- parsing --- */

static const struct option *find(const struct command_line *line, const char *name, size_t length)
{
    for (const struct option *o = line->options; o->name; o++)
        if (strlen(o->name) == length && !memcmp(o->name, name, length))
            return o;
    return NULL;
}

static int unknown(const struct command_line *line, const char *word, struct err *e)
{
    const char *names[32];
    int count = 0;
    for (const struct option *o = line->options; o->name && count < 32; o++)
        names[count++] = o->name;
    const char *near = nearest_name(word, names, count);
    return err_set(e, ERR_USAGE, "%s: unknown option%s%s%s; `retort %s --help` lists them", word,
                   near ? ", did you mean " : "", near ? near : "", near ? "?" : "", line->command);
}

static int set_choice(const struct option *o, const char *text, struct err *e)
{
    struct strbuf all;
    for (int i = 0; o->choices[i]; i++)
        if (!strcmp(text, o->choices[i])) {
            *(int *)o->value = i;
            return 0;
        }
    strbuf_init(&all);
    for (int i = 0; o->choices[i]; i++)
        strbuf_printf(&all, "%s%s", i ? ", " : "", o->choices[i]);
    err_set(e, ERR_USAGE, "%s: \"%s\" is none of %s", o->name, text, all.data);
    strbuf_release(&all);
    return -1;
}

static int set_integer(const struct option *o, const char *text, struct err *e)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || errno || v < 0)
        return err_set(e, ERR_USAGE, "%s: \"%s\" is no whole number from 0", o->name, text);
    *(int64_t *)o->value = v;
    return 0;
}

static int set_number(const struct option *o, const char *text, struct err *e)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !isfinite(v) || v < 0)
        return err_set(e, ERR_USAGE, "%s: \"%s\" is no number from 0", o->name, text);
    *(double *)o->value = v;
    return 0;
}

static int set_value(const struct option *o, const char *text, struct err *e)
{
    struct option_list *list = o->value;
    switch (o->kind) {
    case OPTION_TEXT:
        *(const char **)o->value = text;
        return 0;
    case OPTION_INTEGER:
        return set_integer(o, text, e);
    case OPTION_NUMBER:
        return set_number(o, text, e);
    case OPTION_CHOICE:
        return set_choice(o, text, e);
    case OPTION_LIST:
        list->items = mem_resize(list->items, (size_t)list->count + 1, sizeof *list->items);
        list->items[list->count++] = text;
        return 0;
    case OPTION_FLAG:
        break;
    }
    return err_set(e, ERR_USAGE, "%s takes no value", o->name);
}

/* "--name", "--name value" or "--name=value" at argv[*i]. */
static int parse_option(const struct command_line *line, int argc, char **argv, int *i, struct err *e)
{
    const char *word = argv[*i], *equals = strchr(word, '=');
    const struct option *o = find(line, word, equals ? (size_t)(equals - word) : strlen(word));
    if (!o)
        return unknown(line, word, e);
    if (o->kind == OPTION_FLAG && !equals) {
        *(bool *)o->value = true;
        return 0;
    }
    if (equals)
        return set_value(o, equals + 1, e);
    if (*i + 1 >= argc)
        return err_set(e, ERR_USAGE, "%s: %s is missing after it", o->name, o->argument);
    return set_value(o, argv[++*i], e);
}

static int check_complete(const struct command_line *line, const char *const *seen, int positional, struct err *e)
{
    if (positional < line->positional_least)
        return err_set(e, ERR_USAGE, "%s is missing; usage: retort %s %s", line->positional_names[positional],
                       line->command, line->usage);
    for (int i = 0; line->options[i].name; i++)
        if (line->options[i].required && !seen[i])
            return err_set(e, ERR_USAGE, "%s %s is missing; usage: retort %s %s", line->options[i].name,
                           line->options[i].argument, line->command, line->usage);
    return 0;
}

/* Which required options stand on the line. */
static void note_seen(const struct command_line *line, const char *word, const char **seen)
{
    for (int i = 0; line->options[i].name; i++)
        if (!strncmp(word, line->options[i].name, strlen(line->options[i].name)))
            seen[i] = word;
}

int options_parse(const struct command_line *line, int argc, char **argv, struct strbuf *help, struct err *e)
{
    const char *seen[32] = {0};
    int positional = 0;
    bool only_positional = false;
    for (int i = 0; i < argc; i++) {
        if (!only_positional && (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))) {
            print_help(line, help);
            return 1;
        }
        if (!only_positional && !strcmp(argv[i], "--")) {
            only_positional = true;
        } else if (!only_positional && argv[i][0] == '-' && argv[i][1]) {
            note_seen(line, argv[i], seen);
            if (parse_option(line, argc, argv, &i, e))
                return -1;
        } else if (positional == line->positional_most) {
            return err_set(e, ERR_USAGE, "%s: one word too many; usage: retort %s %s", argv[i], line->command,
                           line->usage);
        } else {
            line->positional[positional++] = argv[i];
        }
    }
    return check_complete(line, seen, positional, e);
}

void option_list_release(struct option_list *l)
{
    mem_free(l->items);
    *l = (struct option_list){0};
}
