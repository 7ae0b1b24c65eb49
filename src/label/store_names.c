#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "label/store_internal.h"

static void add(struct store_names *n, const char *name)
{
    if (n->count == n->room) {
        n->room = n->room ? 2 * n->room : 64;
        n->names = mem_resize(n->names, (size_t)n->room, sizeof *n->names);
    }
    n->names[n->count++] = mem_strdup(name);
}

static int ascending(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int store_names_read(struct store_names *n, const char *directory, const char *prefix, struct err *e)
{
    DIR *d = opendir(directory);
    const struct dirent *entry;
    if (!d)
        return err_set(e, ERR_INPUT, "%s: cannot be read: %s", directory, strerror(errno));
    *n = (struct store_names){0};
    for (errno = 0; (entry = readdir(d)); errno = 0)
        if (!strncmp(entry->d_name, prefix, strlen(prefix)))
            add(n, entry->d_name);
    const int failed = errno;
    closedir(d);
    if (failed) {
        store_names_release(n);
        return err_set(e, ERR_INPUT, "%s: cannot be read: %s", directory, strerror(failed));
    }
    if (n->count)
        qsort(n->names, (size_t)n->count, sizeof *n->names, ascending);
    return 0;
}

void store_names_release(struct store_names *n)
{
    for (int i = 0; i < n->count; i++)
        mem_free(n->names[i]);
    mem_free(n->names);
    *n = (struct store_names){0};
}

bool store_names_equal(const struct store_names *a, const struct store_names *b)
{
    for (int i = 0; i < a->count && i < b->count; i++)
        if (strcmp(a->names[i], b->names[i]))
            return false;
    return a->count == b->count;
}
