#include "fmt/tokenizer_added.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fmt/unicode.h"

/* A trie over bytes; nodes of one parent are a list. Node 0 is the root. */
struct added_node {
    uint32_t child, sibling; /* 0: none */
    uint32_t token;          /* index + 1, or 0 */
    unsigned char byte;
};

struct added_trie {
    struct added_node *nodes;
    uint32_t count, room;
    uint32_t first[256]; /* the root's children by byte: most bytes of a text begin no token */
};

static struct added_trie *trie_new(void)
{
    struct added_trie *t = mem_alloc(sizeof *t);
    t->room = 64;
    t->nodes = mem_array(t->room, sizeof *t->nodes);
    t->count = 1;
    return t;
}

static void trie_free(struct added_trie *t)
{
    if (!t)
        return;
    mem_free(t->nodes);
    mem_free(t);
}

static uint32_t child_of(const struct added_trie *t, uint32_t node, unsigned char byte)
{
    if (!node)
        return t->first[byte];
    uint32_t c = t->nodes[node].child;
    while (c && t->nodes[c].byte != byte)
        c = t->nodes[c].sibling;
    return c;
}

static uint32_t add_child(struct added_trie *t, uint32_t node, unsigned char byte)
{
    if (t->count == t->room) {
        t->room *= 2;
        t->nodes = mem_resize(t->nodes, t->room, sizeof *t->nodes);
    }
    uint32_t c = t->count++;
    t->nodes[c] = (struct added_node){.byte = byte, .sibling = node ? t->nodes[node].child : 0};
    *(node ? &t->nodes[node].child : &t->first[byte]) = c;
    return c;
}

/* False if the text is there already. */
static bool trie_add(struct added_trie *t, const char *text, uint32_t token)
{
    uint32_t node = 0;
    for (const char *p = text; *p; p++) {
        uint32_t next = child_of(t, node, (unsigned char)*p);
        node = next ? next : add_child(t, node, (unsigned char)*p);
    }
    if (!node || t->nodes[node].token)
        return !node; /* an empty text is found nowhere */
    t->nodes[node].token = token + 1;
    return true;
}

/* The longest token at p, as index + 1, and its length; 0 if there is none. */
static uint32_t trie_longest(const struct added_trie *t, const char *p, size_t left, size_t *length)
{
    uint32_t node = 0, found = 0;
    for (size_t i = 0; i < left && (node = child_of(t, node, (unsigned char)p[i])); i++)
        if (t->nodes[node].token) {
            found = t->nodes[node].token;
            *length = i + 1;
        }
    return found;
}

void added_tokens_release(struct added_tokens *a)
{
    for (size_t i = 0; i < a->count; i++) {
        mem_free(a->tokens[i].content);
        mem_free(a->tokens[i].normalized);
    }
    mem_free(a->tokens);
    trie_free(a->raw);
    trie_free(a->normalized);
    *a = (struct added_tokens){0};
}

void added_tokens_add(struct added_tokens *a, struct added_token token)
{
    if (a->count == a->room) {
        a->room = a->room ? 2 * a->room : 64;
        a->tokens = mem_resize(a->tokens, a->room, sizeof *a->tokens);
    }
    a->tokens[a->count++] = token;
}

static int by_id(const void *a, const void *b)
{
    const struct added_token *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

const char *added_tokens_finish(struct added_tokens *a)
{
    if (a->count)
        qsort(a->tokens, a->count, sizeof *a->tokens, by_id);
    a->raw = trie_new();
    a->normalized = trie_new();
    for (size_t i = 0; i < a->count; i++) {
        const struct added_token *t = &a->tokens[i];
        bool fresh = t->in_normalized ? trie_add(a->normalized, t->normalized, (uint32_t)i)
                                      : trie_add(a->raw, t->content, (uint32_t)i);
        if (!fresh)
            return t->content;
    }
    return NULL;
}

const struct added_token *added_tokens_by_id(const struct added_tokens *a, uint32_t id)
{
    struct added_token key = {.id = id};
    return a->count ? bsearch(&key, a->tokens, a->count, sizeof *a->tokens, by_id) : NULL;
}

void added_walk_init(struct added_walk *w, const struct added_tokens *a, bool normalized, const char *text, size_t size)
{
    *w = (struct added_walk){.tokens = a, .trie = normalized ? a->normalized : a->raw, .text = text, .size = size};
}

static bool is_word_at(const char *p)
{
    return unicode_is_word(utf8_next(&p));
}

static bool stands_alone(const struct added_walk *w, size_t start, size_t end)
{
    const char *p = w->text;
    return (!start || !is_word_at(utf8_previous(p + start))) && (end == w->size || !is_word_at(p + end));
}

static size_t strip_left(const struct added_walk *w, size_t start)
{
    while (start > w->done) {
        const char *p = utf8_previous(w->text + start);
        const char *q = p;
        if (!unicode_is_space(utf8_next(&q)))
            break;
        start = (size_t)(p - w->text);
    }
    return start;
}

static size_t strip_right(const struct added_walk *w, size_t end)
{
    const char *p = w->text + end;
    while (p < w->text + w->size) {
        const char *q = p;
        if (!unicode_is_space(utf8_next(&q)))
            break;
        p = q;
    }
    return (size_t)(p - w->text);
}

/* The next token at or after w->at, with its bounds; moves w->at behind its text. */
static const struct added_token *find_next(struct added_walk *w, size_t *start, size_t *end)
{
    for (; w->at < w->size; w->at++) {
        size_t length = 0;
        if (!w->trie->first[(unsigned char)w->text[w->at]])
            continue;
        uint32_t found = trie_longest(w->trie, w->text + w->at, w->size - w->at, &length);
        if (!found)
            continue;
        const struct added_token *t = &w->tokens->tokens[found - 1];
        *start = w->at;
        *end = w->at + length;
        if (t->single_word && !stands_alone(w, *start, *end)) {
            w->at = *end - 1; /* what lies inside is passed over, too */
            continue;
        }
        w->at = *end;
        if (t->strips_left)
            *start = strip_left(w, *start);
        if (t->strips_right)
            *end = strip_right(w, *end);
        return t;
    }
    return NULL;
}

bool added_walk_next(struct added_walk *w)
{
    if (!w->pending) {
        w->pending = find_next(w, &w->pending_start, &w->pending_end);
        size_t end = w->pending ? w->pending_start : w->size;
        if (w->done < end) {
            w->token = NULL;
            w->start = w->done;
            w->end = w->done = end;
            return true;
        }
        if (!w->pending)
            return false;
    }
    w->token = w->pending;
    w->pending = NULL;
    w->start = w->pending_start;
    w->end = w->done = w->pending_end;
    return true;
}
