#include "job/prune.h"

#include <stdlib.h>

#include "base/mem.h"
#include "job/export.h"

enum { LAYERS_MAX = 1024 };

/* One "3" or "3-7" of the list; *at goes past it and its comma. */
static int read_range(const char **at, int *first, int *last)
{
    char *end;
    long from = strtol(*at, &end, 10), to = from;
    if (end == *at || from < 0 || from >= LAYERS_MAX)
        return -1;
    if (*end == '-') {
        const char *second = end + 1;
        to = strtol(second, &end, 10);
        if (end == second || to < from || to >= LAYERS_MAX)
            return -1;
    }
    if (*end != ',' && *end)
        return -1;
    *first = (int)from;
    *last = (int)to;
    *at = *end ? end + 1 : end;
    return 0;
}

static int read_layers(const char *text, int *keep, int *count, struct err *e)
{
    const char *at = text;
    *count = 0;
    while (*at) {
        int first, last;
        if (read_range(&at, &first, &last) || *count + last - first + 1 > LAYERS_MAX)
            return err_set(e, ERR_USAGE, "--layers: %s is no list such as 0,3,6 or 0-9", text);
        for (int i = first; i <= last; i++)
            keep[(*count)++] = i;
    }
    if (!*count)
        return err_set(e, ERR_USAGE, "--layers: names no layer");
    return 0;
}

int prune_run(const struct comm *world, const struct prune_options *o, struct err *e)
{
    int *keep = mem_array(LAYERS_MAX, sizeof *keep), count;
    int rc = read_layers(o->layers, keep, &count, e);
    if (!rc) {
        struct export_options x = {
            .solo = {.model = o->model, .positions = 1, .keep = keep, .keep_count = count},
            .dtype = o->dtype,
            .out = o->out,
        };
        rc = export_run(world, &x, e);
    }
    mem_free(keep);
    return rc;
}
