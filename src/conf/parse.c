/* From text to a job: nodes go through the table, key by key; first the defaults, then the file, then each --set. */
#include "conf/job.h"

#include <string.h>

#include "base/assert.h"
#include "base/file.h"
#include "base/mem.h"
#include "conf/field.h"
#include "conf/given.h"

struct parser {
    struct job *job;
    struct job_memory *memory;
    struct reading reading;
    struct err *e;
};

static int refuse_unknown(const struct parser *p, const struct node *n, const char *group)
{
    char near[NODE_KEY_LIMIT];
    if (field_nearest(n->key, near))
        return spot_refuse(&n->key_spot, n->key, p->e, "unknown key; did you mean %s?", near);
    struct strbuf keys;
    strbuf_init(&keys);
    field_list_group(group, &keys);
    spot_refuse(&n->key_spot, n->key, p->e, "unknown key; %s has %s", *group ? group : "a job", keys.data);
    strbuf_release(&keys);
    return -1;
}

/* Items of a list are remembered as well: "data.train[1].path" is the beginning of an error about a missing file. */
static void remember(struct parser *p, const struct node *n)
{
    given_add(p->memory, n->key, &n->spot);
    for (const struct node *c = n->children; c; c = c->next)
        remember(p, c);
}

static int assign_field(struct parser *p, const struct field *f, const struct node *n)
{
    if (f->type->read(f, n, &p->reading, field_value(f, p->job)))
        return -1;
    given_drop(p->memory, n->key);
    remember(p, n);
    return 0;
}

static int assign(struct parser *p, const struct node *n, const char *group);

static int assign_group(struct parser *p, const struct node *n)
{
    if (n->kind != NODE_MAP) {
        struct strbuf keys;
        char shown[NODE_SHOWN];
        strbuf_init(&keys);
        field_list_group(n->key, &keys);
        spot_refuse(&n->spot, n->key, p->e, "expected a mapping with the keys %s, got %s", keys.data,
                    node_show(n, shown));
        strbuf_release(&keys);
        return -1;
    }
    given_add(p->memory, n->key, &n->spot);
    for (const struct node *c = n->children; c; c = c->next)
        if (assign(p, c, n->key))
            return -1;
    return 0;
}

static int assign(struct parser *p, const struct node *n, const char *group)
{
    if (field_is_group(n->key))
        return assign_group(p, n);
    const struct field *f = field_find(n->key);
    return f ? assign_field(p, f, n) : refuse_unknown(p, n, group);
}

static bool is_within(const struct field *f, const char *key)
{
    return !strcmp(f->key, key) || key_is_below(f->key, key);
}

/* The key and all below it. The defaults are one list in one text: a parser for each would be most of the work. */
static void set_defaults(struct parser *p, const char *key)
{
    static const struct spot nowhere = {.kind = SPOT_NONE};
    struct err e = {0};
    const struct reading r = {&p->memory->arena, "", &e};
    struct strbuf text;
    strbuf_init(&text);
    const struct field *f;
    for (int i = 0; (f = field_at(i)); i++)
        if (is_within(f, key))
            strbuf_printf(&text, "- %s\n", f->fallback);
    struct node *list = NULL;
    int rc = node_parse(&list, r.arena, text.data, text.size, "", &nowhere, &e);
    ASSERT(!rc && list);
    const struct node *n = list->children;
    for (int i = 0; (f = field_at(i)); i++) {
        if (!is_within(f, key))
            continue;
        rc = f->type->read(f, n, &r, field_value(f, p->job));
        ASSERT(!rc);
        n = n->next;
    }
    strbuf_release(&text);
}

static int parse_file(struct parser *p, const char *text, size_t size, const char *name)
{
    const struct spot from = {.kind = SPOT_FILE, .file = arena_strdup(&p->memory->arena, name), .line = 1, .column = 1};
    struct node *root = NULL;
    if (node_parse(&root, &p->memory->arena, text, size, "", &from, p->e))
        return -1;
    if (!root)
        return spot_refuse(&from, "", p->e, "is empty; a job is a mapping of keys (retort keys lists them)");
    return assign_group(p, root);
}

/* "key=value": the value replaces the key's, with all that stands below it. */
static int parse_override(struct parser *p, const char *text)
{
    const struct spot from = {.kind = SPOT_SET, .line = 1, .column = 1};
    char shown[NODE_SHOWN];
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return err_set(p->e, ERR_USAGE, "--set %s: expected key=value", text_show(text, shown));
    char *key = arena_strndup(&p->memory->arena, text, (size_t)(equals - text));
    if (strlen(key) >= NODE_KEY_LIMIT || key[strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_.")])
        return err_set(p->e, ERR_USAGE, "--set %s: is no key; retort keys lists them", text_show(key, shown));

    struct node *n = NULL;
    if (node_parse(&n, &p->memory->arena, equals + 1, strlen(equals + 1), key, &from, p->e))
        return -1;
    if (!n) {
        n = arena_alloc(&p->memory->arena, 1, sizeof *n);
        *n = (struct node){.kind = NODE_SCALAR, .key = key, .spot = from, .key_spot = from, .text = "", .plain = true};
    }
    if (field_is_group(key) && n->kind == NODE_MAP) {
        given_drop(p->memory, key);
        set_defaults(p, key);
    }
    return assign(p, n, "");
}

/* A --set of the encoding's kind takes the file's keys of other kinds out of use; apart from that they are errors. */
static int settle_encoding(struct parser *p)
{
    struct spot kind = given_find(p->memory, "labels.encoding.kind");
    const struct field *f;
    for (int i = 0; (f = field_at(i)); i++) {
        struct spot s = given_find(p->memory, f->key);
        if (field_applies(f, p->job) || s.kind == SPOT_NONE)
            continue;
        if (kind.kind != SPOT_SET || s.kind != SPOT_FILE) {
            const struct field *selector = field_find("labels.encoding.kind");
            const struct choice *own = selector->choices;
            while (!(f->kinds >> own->value & 1))
                own++;
            return job_refuse(p->job, f->key, p->e, "belongs to kind: %s, and labels.encoding.kind is %s", own->name,
                              field_choice(selector, p->job)->name);
        }
        given_drop(p->memory, f->key);
        set_defaults(p, f->key);
    }
    return 0;
}

static char *file_stem(struct arena *a, const char *name)
{
    const char *base = file_name(name);
    const char *dot = strrchr(base, '.');
    return arena_strndup(a, base, dot && dot != base ? (size_t)(dot - base) : strlen(base));
}

static int parse(struct parser *p, const char *text, size_t size, const char *name,
                 const struct job_override *overrides, int count)
{
    set_defaults(p, "");
    p->job->ranks.student.pipeline_parallel = 1; /* no key: a student has one stage */
    if (parse_file(p, text, size, name))
        return -1;
    p->reading.directory = "";
    for (int i = 0; i < count; i++)
        if (parse_override(p, overrides[i].text))
            return -1;
    if (settle_encoding(p))
        return -1;
    return job_resolve(p->job, file_stem(&p->memory->arena, name), p->e);
}

int job_parse(struct job **out, const char *text, size_t size, const char *name, const struct job_override *overrides,
              int count, struct err *e)
{
    struct job *job = mem_alloc(sizeof *job);
    struct job_memory *memory = mem_alloc(sizeof *memory);
    arena_init(&memory->arena);
    job->memory = memory;
    char *directory = file_parent(name);
    struct parser p = {job, memory, {&memory->arena, directory, e}, e};
    int rc = parse(&p, text, size, name, overrides, count);
    mem_free(directory);
    if (rc)
        job_free(job);
    else
        *out = job;
    return rc;
}

void job_free(struct job *job)
{
    if (!job)
        return;
    struct job_memory *m = job->memory;
    arena_release(&m->arena);
    mem_free(m->items);
    mem_free(m);
    mem_free(job);
}
