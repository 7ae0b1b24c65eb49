#include "conf/node.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/mem.h"

/* One text on its way through libyaml. */
struct builder {
    yaml_parser_t yaml;
    struct arena *arena;
    struct spot from;
    const char *key; /* the root's: stands in errors that concern no key below it */
    const char *text;
    size_t size;
    int nodes;
    struct err *e;
};

bool node_is(const struct node *n, const char *word)
{
    return n->kind == NODE_SCALAR && n->plain && !strcmp(n->text, word);
}

bool node_is_null(const struct node *n)
{
    return node_is(n, "null") || node_is(n, "~") || node_is(n, "");
}

const char *text_show(const char *text, char buffer[NODE_SHOWN])
{
    enum { ROOM = NODE_SHOWN - 6 }; /* two quotes, three dots, the end */
    size_t n = strlen(text);
    bool cut = n > ROOM;
    if (cut)
        for (n = ROOM; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
            n--; /* not in the middle of a character */
    char *at = buffer;
    *at++ = '"';
    for (size_t i = 0; i < n; i++)
        *at++ = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
    snprintf(at, 5, "%s\"", cut ? "..." : "");
    return buffer;
}

const char *node_show(const struct node *n, char buffer[NODE_SHOWN])
{
    if (n->kind == NODE_SCALAR && !node_is_null(n))
        return text_show(n->text, buffer);
    const char *what = n->kind == NODE_MAP ? "a mapping" : n->kind == NODE_LIST ? "a list" : "null";
    snprintf(buffer, NODE_SHOWN, "%s", what);
    return buffer;
}

const char *spot_text(const struct spot *s, const char *key, struct arena *arena)
{
    const char *colon = *key ? ": " : "";
    if (s->kind == SPOT_FILE)
        return arena_printf(arena, "%s:%d:%d%s%s", s->file, s->line, s->column, colon, key);
    return arena_printf(arena, "%s%s", s->kind == SPOT_SET ? "--set " : "", key);
}

int spot_refuse(const struct spot *s, const char *key, struct err *e, const char *format, ...)
{
    char *what = NULL;
    va_list ap;
    va_start(ap, format);
    if (vasprintf(&what, format, ap) < 0)
        mem_exhausted(sizeof e->text);
    va_end(ap);
    const char *colon = *key ? ": " : "";
    if (s->kind == SPOT_FILE)
        err_set(e, ERR_USAGE, "%s:%d:%d: %s%s%s", s->file, s->line, s->column, key, colon, what);
    else
        err_set(e, ERR_USAGE, "%s%s%s%s", s->kind == SPOT_SET ? "--set " : "", key, colon, what);
    mem_free(what);
    return -1;
}

static struct spot spot_at(const struct builder *b, size_t line, size_t column)
{
    struct spot s = b->from;
    s.line = (int)line + 1;
    s.column = (int)column + 1;
    return s;
}

/* Libyaml tells only the byte where it could not read on. */
static struct spot spot_of_byte(const struct builder *b, size_t offset)
{
    size_t line = 0, column = 0;
    for (size_t i = 0; i < offset && i < b->size; i++) {
        bool newline = b->text[i] == '\n';
        line += newline;
        column = newline ? 0 : column + 1;
    }
    return spot_at(b, line, column);
}

static bool tab_at(const struct builder *b, const yaml_mark_t *mark)
{
    const char *at = b->text;
    for (size_t line = 0; at && line < mark->line; line++) {
        at = memchr(at, '\n', b->size - (size_t)(at - b->text));
        at = at ? at + 1 : NULL;
    }
    return at && mark->column < b->size - (size_t)(at - b->text) && at[mark->column] == '\t';
}

static int refuse_yaml(struct builder *b)
{
    const yaml_parser_t *y = &b->yaml;
    if (y->error == YAML_MEMORY_ERROR)
        mem_exhausted(b->size);
    if (y->error == YAML_READER_ERROR) {
        struct spot s = spot_of_byte(b, y->problem_offset);
        return spot_refuse(&s, b->key, b->e, "not YAML: %s; the file must be UTF-8 text", y->problem);
    }
    struct spot s = spot_at(b, y->problem_mark.line, y->problem_mark.column);
    if (tab_at(b, &y->problem_mark))
        return spot_refuse(&s, b->key, b->e, "a tab does not indent in YAML; use spaces");
    return spot_refuse(&s, b->key, b->e, "not YAML: %s%s%s", y->problem, y->context ? " " : "",
                       y->context ? y->context : "");
}

static int next_event(struct builder *b, yaml_event_t *event)
{
    return yaml_parser_parse(&b->yaml, event) ? 0 : refuse_yaml(b);
}

/* A key is one short word: so it can stand in an error, and "train.steps" is a path and never a name. */
static int check_key(struct builder *b, const yaml_event_t *event, const struct spot *s, const char *parent)
{
    if (event->type != YAML_SCALAR_EVENT || event->data.scalar.anchor || event->data.scalar.tag)
        return spot_refuse(s, parent, b->e, "expected a key, which is one word");
    const char *word = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    char shown[NODE_SHOWN];
    for (size_t i = 0; i < size; i++) {
        if (word[i] == '.')
            return spot_refuse(s, parent, b->e, "%s: keys of a mapping are nested; write %.*s: {...}",
                               text_show(word, shown), (int)(i < 32 ? i : 32), word);
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", word[i]) || !word[i])
            return spot_refuse(s, parent, b->e, "%s is no key; keys have letters, digits and _",
                               text_show(word, shown));
    }
    if (size == 0 || size > NODE_KEY_LIMIT)
        return spot_refuse(s, parent, b->e, "%s is no key; keys have 1 to %d bytes", text_show(word, shown),
                           NODE_KEY_LIMIT);
    return 0;
}

static const struct node *find_child(const struct node *map, const char *key)
{
    for (const struct node *n = map->children; n; n = n->next)
        if (!strcmp(n->key, key))
            return n;
    return NULL;
}

static int build(struct builder *b, struct node **out, const char *key, const struct spot *key_spot, int depth);

/* The next child's key, or NULL in *key at the end of the collection. */
static int child_key(struct builder *b, const struct node *parent, const char **key, struct spot *s)
{
    *key = NULL;
    if (parent->kind == NODE_LIST) {
        *key = arena_printf(b->arena, "%s[%d]", parent->key, parent->count);
        return 0; /* its end is seen by build() */
    }
    yaml_event_t event;
    if (next_event(b, &event))
        return -1;
    *s = spot_at(b, event.start_mark.line, event.start_mark.column);
    int rc = 0;
    if (event.type != YAML_MAPPING_END_EVENT) {
        rc = check_key(b, &event, s, parent->key);
        if (!rc)
            *key = arena_printf(b->arena, "%s%s%s", parent->key, *parent->key ? "." : "",
                                (const char *)event.data.scalar.value);
    }
    yaml_event_delete(&event);
    const struct node *twin = *key ? find_child(parent, *key) : NULL;
    if (twin)
        return spot_refuse(s, *key, b->e, "is given twice; the first time in line %d", twin->key_spot.line);
    return rc;
}

static int build_children(struct builder *b, struct node *parent, int depth)
{
    struct node **tail = &parent->children;
    while (true) {
        const char *key;
        struct spot s = parent->spot;
        if (child_key(b, parent, &key, &s))
            return -1;
        struct node *child = NULL;
        if (key && build(b, &child, key, parent->kind == NODE_MAP ? &s : NULL, depth + 1))
            return -1;
        if (!child)
            return 0;
        *tail = child;
        tail = &child->next;
        parent->count++;
    }
}

static int build_scalar(struct builder *b, struct node *n, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    if (memchr(value, 0, event->data.scalar.length))
        return spot_refuse(&n->spot, n->key, b->e, "holds a zero byte");
    n->text = arena_strndup(b->arena, value, event->data.scalar.length);
    n->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return 0;
}

/* The node that an event begins; *out stays NULL where the event ends a collection. */
static int build_from(struct builder *b, struct node **out, const yaml_event_t *event, const char *key,
                      const struct spot *key_spot, int depth)
{
    struct spot s = spot_at(b, event->start_mark.line, event->start_mark.column);
    const yaml_char_t *anchor = NULL, *tag = NULL;
    enum node_kind kind = NODE_SCALAR;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        kind = NODE_MAP;
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        kind = NODE_LIST;
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type != YAML_ALIAS_EVENT) {
        return 0;
    }
    /* an alias in an alias in an alias makes a small file a huge one, and no job needs it */
    if (event->type == YAML_ALIAS_EVENT || anchor)
        return spot_refuse(&s, key, b->e,
                           "anchors (&) and aliases (*) are not taken; write the value out, or quote it");
    if (tag)
        return spot_refuse(&s, key, b->e, "tags (!) are not taken; leave it away, or quote the value");
    if (depth > NODE_DEPTH_LIMIT || ++b->nodes > NODE_LIMIT)
        return spot_refuse(&s, b->key, b->e, "too large for a job: at most %d values, %d deep", NODE_LIMIT,
                           NODE_DEPTH_LIMIT);

    struct node *n = arena_alloc(b->arena, 1, sizeof *n);
    n->kind = kind;
    n->key = key;
    n->spot = s;
    n->key_spot = key_spot ? *key_spot : s;
    if (kind == NODE_SCALAR ? build_scalar(b, n, event) : build_children(b, n, depth))
        return -1;
    *out = n;
    return 0;
}

static int build(struct builder *b, struct node **out, const char *key, const struct spot *key_spot, int depth)
{
    yaml_event_t event;
    if (next_event(b, &event))
        return -1;
    int rc = build_from(b, out, &event, key, key_spot, depth);
    yaml_event_delete(&event);
    return rc;
}

/* Takes the next event, which begins or ends something and carries nothing. */
static int skip_event(struct builder *b, yaml_event_type_t *type, struct spot *s)
{
    yaml_event_t event;
    if (next_event(b, &event))
        return -1;
    *type = event.type;
    *s = spot_at(b, event.start_mark.line, event.start_mark.column);
    yaml_event_delete(&event);
    return 0;
}

static int build_document(struct builder *b, struct node **out)
{
    yaml_event_type_t type;
    struct spot s;
    if (skip_event(b, &type, &s) || skip_event(b, &type, &s)) /* stream start, document start */
        return -1;
    if (type == YAML_STREAM_END_EVENT)
        return 0;
    if (build(b, out, b->key, NULL, 0) || skip_event(b, &type, &s) || skip_event(b, &type, &s)) /* document end, next */
        return -1;
    if (type != YAML_STREAM_END_EVENT)
        return spot_refuse(&s, b->key, b->e, "a second document begins here; a job is one");
    return 0;
}

int node_parse(struct node **out, struct arena *arena, const char *text, size_t size, const char *key,
               const struct spot *from, struct err *e)
{
    struct builder b = {.arena = arena, .from = *from, .key = key, .text = text, .size = size, .e = e};
    if (size > NODE_TEXT_LIMIT) {
        struct spot s = spot_at(&b, 0, 0);
        return spot_refuse(&s, key, e, "%zu bytes are too many for a job; at most %d", size, NODE_TEXT_LIMIT);
    }
    if (!yaml_parser_initialize(&b.yaml))
        mem_exhausted(size);
    yaml_parser_set_encoding(&b.yaml, YAML_UTF8_ENCODING); /* else a byte order mark could choose UTF-16 */
    yaml_parser_set_input_string(&b.yaml, (const unsigned char *)text, size);
    struct node *root = NULL;
    int rc = build_document(&b, &root);
    yaml_parser_delete(&b.yaml);
    if (!rc)
        *out = root;
    return rc;
}
