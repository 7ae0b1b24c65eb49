#include "conf/given.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "conf/field.h"

void given_add(struct job_memory *m, const char *key, const struct spot *spot)
{
    if (m->count == m->room) {
        m->room = m->room ? 2 * m->room : 64;
        m->items = mem_resize(m->items, (size_t)m->room, sizeof *m->items);
    }
    m->items[m->count++] = (struct given){key, *spot};
}

void given_drop(struct job_memory *m, const char *key)
{
    size_t n = strlen(key);
    int kept = 0;
    for (int i = 0; i < m->count; i++) {
        const char *k = m->items[i].key;
        bool below = !strncmp(k, key, n) && strchr(".[", k[n]); /* strchr finds the end of the text, too */
        if (!below)
            m->items[kept++] = m->items[i];
    }
    m->count = kept;
}

struct spot given_find(const struct job_memory *m, const char *key)
{
    for (int i = 0; i < m->count; i++)
        if (!strcmp(m->items[i].key, key))
            return m->items[i].spot;
    return (struct spot){.kind = SPOT_NONE};
}

/* A key that is missing has no place; the mapping where it would stand has, and the root always. */
static struct spot nearest_spot(const struct job_memory *m, const char *key)
{
    char group[128];
    snprintf(group, sizeof group, "%s", key);
    struct spot s = given_find(m, group);
    while (s.kind == SPOT_NONE && *group) {
        char *dot = strrchr(group, '.');
        *(dot ? dot : group) = 0;
        s = given_find(m, group);
    }
    return s;
}

int job_refuse(const struct job *job, const char *key, struct err *e, const char *format, ...)
{
    char *what = NULL;
    va_list ap;
    va_start(ap, format);
    if (vasprintf(&what, format, ap) < 0)
        mem_exhausted(sizeof e->text);
    va_end(ap);
    struct spot s = nearest_spot(job->memory, key);
    spot_refuse(&s, key, e, "%s", what);
    mem_free(what);
    return -1;
}

const char *job_where(const struct job *job, const char *key)
{
    struct job_memory *m = job->memory;
    struct spot s = given_find(m, key);
    return spot_text(&s, key, &m->arena);
}
