/* Texts: free text, paths, a choice of words, lists of words and of files. */
#include "conf/types.h"

#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "conf/text.h"

static void list_choices(const struct choice *choices, struct strbuf *out)
{
    for (const struct choice *c = choices; c->name; c++)
        strbuf_printf(out, "%s%s", c == choices ? "" : " | ", c->name);
}

static int refuse_choice(const struct field *f, const struct node *n, const struct reading *r)
{
    const struct choice *near = n->kind == NODE_SCALAR ? choice_nearest(f->choices, n->text) : NULL;
    char *hint = near ? mem_printf("; did you mean %s?", near->name) : mem_strdup("");
    type_refuse_hint(f, n, r, hint);
    mem_free(hint);
    return -1;
}

static const struct choice *find_choice(const struct choice *choices, const struct node *n)
{
    if (n->kind == NODE_SCALAR)
        for (const struct choice *c = choices; c->name; c++)
            if (!strcmp(c->name, n->text))
                return c;
    return NULL;
}

static int read_choice(const struct field *f, const struct node *n, const struct reading *r, void *at)
{
    const struct choice *c = find_choice(f->choices, n);
    if (!c)
        return refuse_choice(f, n, r);
    memcpy(at, &c->value, sizeof c->value);
    return 0;
}

static void print_choice(const struct field *f, const void *at, struct strbuf *out)
{
    int value;
    memcpy(&value, at, sizeof value);
    for (const struct choice *c = f->choices; c->name; c++)
        if (c->value == value)
            strbuf_adds(out, c->name);
}

static void expect_choice(const struct field *f, struct strbuf *out)
{
    list_choices(f->choices, out);
}

const struct field_type type_choice = {sizeof(enum job_mode), read_choice, print_choice, expect_choice};

static int read_text(const struct field *f, const struct node *n, const struct reading *r, void *at)
{
    if (n->kind != NODE_SCALAR || (node_is_null(n) && !type_is_none(f, n)) || strlen(n->text) < (size_t)f->min)
        return type_refuse(f, n, r);
    *(char **)at = type_is_none(f, n) ? NULL : arena_strdup(r->arena, n->text);
    return 0;
}

static void print_text(const struct field *f, const void *at, struct strbuf *out)
{
    const char *text = *(char *const *)at;
    if (text)
        yaml_put_text(out, text);
    else
        strbuf_adds(out, f->none);
}

static void expect_text(const struct field *f, struct strbuf *out)
{
    strbuf_adds(out, f->min > 0 ? "a text that is not empty" : "a text");
    type_expect_none(f, out);
}

const struct field_type type_text = {sizeof(char *), read_text, print_text, expect_text};

static void expect_path(const struct field *f, struct strbuf *out)
{
    strbuf_adds(out, "a path");
    type_expect_none(f, out);
}

/* The absolute path that a scalar means, or NULL with an error. */
static char *resolve(const struct field *f, const struct node *n, const struct reading *r, const char *directory)
{
    if (n->kind != NODE_SCALAR || node_is_null(n) || !*n->text) {
        type_refuse(f, n, r);
        return NULL;
    }
    char *path = path_resolve(r->arena, directory, n->text);
    if (utf8_is_valid(path))
        return path;
    char shown[NODE_SHOWN];
    spot_refuse(&n->spot, n->key, r->e, "%s lies below a directory whose name is not UTF-8; rename it",
                node_show(n, shown));
    return NULL;
}

static int read_path(const struct field *f, const struct node *n, const struct reading *r, void *at,
                     const char *directory)
{
    char *path = NULL;
    if (!type_is_none(f, n) && !(path = resolve(f, n, r, directory)))
        return -1;
    *(char **)at = path;
    return 0;
}

static int read_input(const struct field *f, const struct node *n, const struct reading *r, void *at)
{
    return read_path(f, n, r, at, r->directory);
}

static int read_output(const struct field *f, const struct node *n, const struct reading *r, void *at)
{
    return read_path(f, n, r, at, "");
}

const struct field_type type_input = {sizeof(char *), read_input, print_text, expect_path};
const struct field_type type_output = {sizeof(char *), read_output, print_text, expect_path};

/* A list of words, each one of the choices, none twice, none missing. */
static int read_words(const struct field *f, const struct node *n, const struct reading *r, void *at)
{
    if (n->kind != NODE_LIST || n->count == 0)
        return type_refuse(f, n, r);
    struct job_strings words = {arena_alloc(r->arena, (size_t)n->count, sizeof(char *)), 0};
    for (const struct node *item = n->children; item; item = item->next) {
        const struct choice *c = find_choice(f->choices, item);
        if (!c)
            return refuse_choice(f, item, r);
        for (int i = 0; i < words.count; i++)
            if (!strcmp(words.items[i], c->name))
                return spot_refuse(&item->spot, item->key, r->e, "%s is there twice", c->name);
        words.items[words.count++] = arena_strdup(r->arena, c->name);
    }
    *(struct job_strings *)at = words;
    return 0;
}

static void print_words(const struct field *f, const void *at, struct strbuf *out)
{
    (void)f;
    const struct job_strings *words = at;
    strbuf_addc(out, '[');
    for (int i = 0; i < words->count; i++)
        strbuf_printf(out, "%s%s", i ? ", " : "", words->items[i]);
    strbuf_addc(out, ']');
}

static void expect_words(const struct field *f, struct strbuf *out)
{
    strbuf_adds(out, "a list of ");
    list_choices(f->choices, out);
}

const struct field_type type_words = {sizeof(struct job_strings), read_words, print_words, expect_words};

static const struct node *child(const struct node *map, const char *name)
{
    size_t n = strlen(map->key) + 1;
    for (const struct node *c = map->children; c; c = c->next)
        if (!strcmp(c->key + n, name))
            return c;
    return NULL;
}

/* {path: FILE, format: completion}: both, and nothing else. */
static int read_file(const struct field *f, const struct node *n, const struct reading *r, struct job_file *file)
{
    if (n->kind != NODE_MAP)
        return type_refuse(f, n, r);
    const struct node *path = child(n, "path"), *format = child(n, "format");
    for (const struct node *c = n->children; c; c = c->next)
        if (c != path && c != format)
            return spot_refuse(&c->key_spot, c->key, r->e, "unknown key; a file has path and format");
    if (!path || !format)
        return spot_refuse(&n->spot, n->key, r->e, "has no %s; a file is {path: FILE, format: ...}",
                           path ? "format" : "path");
    const struct field as_path = {.type = &type_input};
    const struct field as_format = {.type = &type_choice, .choices = f->choices};
    if (read_input(&as_path, path, r, &file->path))
        return -1;
    return read_choice(&as_format, format, r, &file->format);
}

static int read_files(const struct field *f, const struct node *n, const struct reading *r, void *at)
{
    if (n->kind != NODE_LIST)
        return type_refuse(f, n, r);
    struct job_files files = {arena_alloc(r->arena, (size_t)n->count, sizeof(struct job_file)), n->count};
    struct job_file *file = files.items;
    for (const struct node *item = n->children; item; item = item->next, file++)
        if (read_file(f, item, r, file))
            return -1;
    *(struct job_files *)at = files;
    return 0;
}

static void print_files(const struct field *f, const void *at, struct strbuf *out)
{
    const struct job_files *files = at;
    const struct field as_format = {.type = &type_choice, .choices = f->choices};
    strbuf_addc(out, '[');
    for (int i = 0; i < files->count; i++) {
        strbuf_adds(out, i ? ", {path: " : "{path: ");
        yaml_put_text(out, files->items[i].path);
        strbuf_adds(out, ", format: ");
        print_choice(&as_format, &files->items[i].format, out);
        strbuf_addc(out, '}');
    }
    strbuf_addc(out, ']');
}

static void expect_files(const struct field *f, struct strbuf *out)
{
    strbuf_adds(out, "a list of {path: FILE, format: ");
    list_choices(f->choices, out);
    strbuf_addc(out, '}');
}

const struct field_type type_files = {sizeof(struct job_files), read_files, print_files, expect_files};
