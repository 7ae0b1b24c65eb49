#include "conf/field.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/distance.h"

const struct field *field_at(int i)
{
    for (int s = 0; s < section_count; i -= sections[s++].count)
        if (i < sections[s].count)
            return &sections[s].fields[i];
    return NULL;
}

const struct field *field_find(const char *key)
{
    const struct field *f;
    for (int i = 0; (f = field_at(i)); i++)
        if (!strcmp(f->key, key))
            return f;
    return NULL;
}

bool key_is_below(const char *key, const char *group)
{
    size_t n = strlen(group);
    return n == 0 || (!strncmp(key, group, n) && key[n] == '.');
}

bool field_is_group(const char *key)
{
    const struct field *f;
    for (int i = 0; (f = field_at(i)); i++)
        if (key_is_below(f->key, key))
            return true;
    return false;
}

/* More than a third of the letters wrong is another word, not a slip. */
static int slip_limit(const char *word)
{
    size_t n = strlen(word);
    return n < 4 ? 1 : n < 9 ? 2 : n < 12 ? 3 : 4;
}

static const char *last_word(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

struct nearest {
    const char *wanted;
    int limit, distance; /* distance: of the best so far; limit + 2: there is none */
    char *best;
};

/* key[0, n) is a candidate: a field or a group. The right word in the wrong place counts, but less than any slip. */
static void consider(struct nearest *near, const char *key, size_t n)
{
    char candidate[NODE_KEY_LIMIT];
    snprintf(candidate, sizeof candidate, "%.*s", (int)n, key);
    int distance = edit_distance(near->wanted, candidate);
    if (distance > near->limit)
        distance = near->limit + (strcmp(last_word(near->wanted), last_word(candidate)) ? 2 : 1);
    if (distance < near->distance) {
        near->distance = distance;
        strcpy(near->best, candidate);
    }
}

const char *field_nearest(const char *key, char buffer[NODE_KEY_LIMIT])
{
    int limit = slip_limit(last_word(key));
    struct nearest near = {.wanted = key, .limit = limit, .distance = limit + 2, .best = buffer};
    buffer[0] = 0;
    const struct field *f;
    for (int i = 0; (f = field_at(i)); i++) {
        for (const char *dot = strchr(f->key, '.'); dot; dot = strchr(dot + 1, '.'))
            consider(&near, f->key, (size_t)(dot - f->key));
        consider(&near, f->key, strlen(f->key));
    }
    return *buffer ? buffer : NULL;
}

const struct choice *choice_nearest(const struct choice *choices, const char *word)
{
    const struct choice *best = NULL;
    int least = slip_limit(word) + 1;
    for (const struct choice *c = choices; c->name; c++) {
        int distance = edit_distance(word, c->name);
        if (distance < least) {
            least = distance;
            best = c;
        }
    }
    return best;
}

void field_list_group(const char *group, struct strbuf *out)
{
    size_t prefix = *group ? strlen(group) + 1 : 0;
    const char *before = "";
    size_t before_size = 0;
    const struct field *f;
    for (int i = 0; (f = field_at(i)); i++) {
        if (!key_is_below(f->key, group))
            continue;
        const char *word = f->key + prefix;
        size_t n = strcspn(word, ".");
        if (n == before_size && !strncmp(word, before, n))
            continue; /* another field of the same group below */
        strbuf_printf(out, "%s%.*s", *before ? ", " : "", (int)n, word);
        before = word;
        before_size = n;
    }
}

void *field_value(const struct field *f, struct job *job)
{
    return (char *)job + f->offset;
}

void field_print(const struct field *f, const struct job *job, struct strbuf *out)
{
    f->type->print(f, (const char *)job + f->offset, out);
}

bool field_is_default(const struct field *f, const struct job *job)
{
    struct strbuf text;
    strbuf_init(&text);
    field_print(f, job, &text);
    bool same = !strcmp(text.data, f->fallback);
    strbuf_release(&text);
    return same;
}

const struct choice *field_choice(const struct field *f, const struct job *job)
{
    if (f->type != &type_choice)
        return NULL;
    int value;
    memcpy(&value, (const char *)job + f->offset, sizeof value);
    const struct choice *c = f->choices;
    while (c->name && c->value != value)
        c++;
    ASSERT(c->name);
    return c;
}

bool field_applies(const struct field *f, const struct job *job)
{
    return f->kinds == 0 || (f->kinds >> job->labels.encoding.kind & 1);
}

void modes_list(unsigned modes, struct strbuf *out)
{
    const char *comma = "";
    for (const struct choice *c = field_find("mode")->choices; c->name; c++) {
        if (!(modes >> c->value & 1))
            continue;
        strbuf_printf(out, "%s%s", comma, c->name);
        comma = ", ";
    }
}
