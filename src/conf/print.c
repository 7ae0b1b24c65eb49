/* The job as text: resolved YAML, the comparison of two jobs, the reference of all keys. */
#include "conf/job.h"

#include <string.h>

#include "conf/field.h"

/* "\n" and two spaces a level */
static void indent(struct strbuf *out, int depth)
{
    for (int i = 0; i < depth; i++)
        strbuf_adds(out, "  ");
}

/* Opens the groups of key that are not open yet: those which the key before it does not share. Returns the depth. */
static int open_groups(const char *key, const char *before, struct strbuf *out)
{
    int depth = 0;
    const char *word = key;
    bool shared = true;
    for (const char *dot; (dot = strchr(word, '.')); word = dot + 1, depth++) {
        size_t end = (size_t)(dot - key) + 1;
        shared = shared && !strncmp(key, before, end);
        if (shared)
            continue;
        indent(out, depth);
        strbuf_printf(out, "%.*s:\n", (int)(dot - word), word);
    }
    return depth;
}

void job_print(const struct job *job, struct strbuf *out)
{
    const char *before = "";
    const struct field *f;
    for (int i = 0; (f = field_at(i)); before = f->key, i++) {
        int depth = open_groups(f->key, before, out);
        if (!field_applies(f, job))
            continue;
        const char *dot = strrchr(f->key, '.');
        indent(out, depth);
        strbuf_printf(out, "%s: ", dot ? dot + 1 : f->key);
        field_print(f, job, out);
        strbuf_addc(out, '\n');
    }
}

static bool same_value(const struct field *f, const struct job *a, const struct job *b)
{
    struct strbuf x, y;
    strbuf_init(&x);
    strbuf_init(&y);
    field_print(f, a, &x);
    field_print(f, b, &y);
    bool same = !strcmp(x.data, y.data);
    strbuf_release(&y);
    strbuf_release(&x);
    return same;
}

/* More steps under a constant schedule change nothing of the steps that were done. */
static bool only_longer(const struct field *f, const struct job *a, const struct job *b)
{
    return !strcmp(f->key, "train.steps") && b->train.steps > a->train.steps &&
           b->train.schedule.name == SCHEDULE_CONSTANT;
}

bool job_same_run(const struct job *a, const struct job *b, struct strbuf *differing)
{
    bool same = true;
    const struct field *f;
    for (int i = 0; (f = field_at(i)); i++) {
        if ((f->flags & FIELD_FREE) || same_value(f, a, b) || only_longer(f, a, b))
            continue;
        strbuf_printf(differing, "%s%s", same ? "" : ", ", f->key);
        same = false;
    }
    return same;
}

static void describe_type(const struct field *f, struct strbuf *out)
{
    if (f->type != &type_choice) {
        f->type->expected(f, out);
        return;
    }
    for (const struct choice *c = f->choices; c->name; c++)
        strbuf_printf(out, "%s%s%s", c == f->choices ? "" : " | ", c->name, c->unbuilt ? " (not built yet)" : "");
}

/* Words of text in lines from column indent_width to the right margin. */
static void put_wrapped(const char *text, int indent_width, struct strbuf *out)
{
    enum { MARGIN = 110 };
    int column = MARGIN;
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (column + 1 + n > MARGIN) {
            strbuf_printf(out, "\n%*s", indent_width, "");
            column = indent_width;
        } else {
            strbuf_addc(out, ' ');
            column++;
        }
        strbuf_add(out, text, (size_t)n);
        column += n;
        text += n + (text[n] == ' ');
    }
    strbuf_addc(out, '\n');
}

static void describe(const struct field *f, int width, struct strbuf *out)
{
    strbuf_printf(out, "%-*s  ", width, f->key);
    describe_type(f, out);
    if (f->required == 0) {
        strbuf_printf(out, ", default %s", f->fallback);
    } else {
        strbuf_adds(out, ", needed in ");
        modes_list(f->required, out);
    }
    strbuf_adds(out, f->flags & FIELD_FREE ? ", free to differ at resume" : "");
    strbuf_adds(out, f->flags & FIELD_UNBUILT ? " (not built yet)" : "");
    put_wrapped(f->help, width + 2, out);
}

static bool is_wanted(const struct field *f, const char *wanted)
{
    return !wanted || !strcmp(f->key, wanted) || key_is_below(f->key, wanted);
}

static void describe_section(const struct section *s, const char *wanted, int width, struct strbuf *out)
{
    bool titled = false;
    for (int i = 0; i < s->count; i++) {
        if (!is_wanted(&s->fields[i], wanted))
            continue;
        if (!titled)
            strbuf_printf(out, "%s%s%s%s\n\n", out->size ? "\n" : "", s->name, *s->name ? ": " : "", s->help);
        titled = true;
        describe(&s->fields[i], width, out);
    }
}

static int refuse_section(const char *wanted, struct err *e)
{
    char shown[NODE_SHOWN], near[NODE_KEY_LIMIT];
    text_show(wanted, shown);
    if (field_nearest(wanted, near))
        return err_set(e, ERR_USAGE, "keys: %s is no section of a job; did you mean %s?", shown, near);
    struct strbuf all;
    strbuf_init(&all);
    field_list_group("", &all);
    err_set(e, ERR_USAGE, "keys: %s is no section of a job, which has %s", shown, all.data);
    strbuf_release(&all);
    return -1;
}

int job_keys(const char *section, struct strbuf *out, struct err *e)
{
    if (section && !field_is_group(section) && !field_find(section))
        return refuse_section(section, e);
    int width = 0;
    const struct field *f;
    for (int i = 0; (f = field_at(i)); i++)
        if (is_wanted(f, section) && (int)strlen(f->key) > width)
            width = (int)strlen(f->key);
    for (int i = 0; i < section_count; i++)
        describe_section(&sections[i], section, width, out);
    return 0;
}
