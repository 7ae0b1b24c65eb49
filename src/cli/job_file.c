#include "cli/job_file.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "par/agree.h"

/* -: the whole of a file that is read, not mapped: it is broadcast. */
static void *read_text(const char *path, size_t *size, struct err *e)
{
    struct file_map map;
    *size = 0;
    if (file_map_open(&map, path, e)) {
        e->code = ERR_USAGE; /* the job file is part of the command line */
        return NULL;
    }
    void *text = mem_alloc(map.size);
    memcpy(text, map.data, map.size);
    *size = map.size;
    file_map_close(&map);
    return text;
}

static int parse(struct job **out, const char *text, size_t size, const char *path, const struct option_list *overrides,
                 struct err *e)
{
    struct job_override *set = mem_array((size_t)overrides->count, sizeof *set);
    for (int i = 0; i < overrides->count; i++)
        set[i].text = overrides->items[i];
    int rc = job_parse(out, text, size, path, set, overrides->count, e);
    mem_free(set);
    return rc;
}

int job_file_read(struct job **out, const char *path, const struct option_list *overrides, const struct comm *world,
                  struct err *e)
{
    size_t size = 0;
    void *text = NULL;
    if (!world || world->rank == 0)
        text = read_text(path, &size, e);
    if (world && agree(world, e))
        return -1;
    if (!world && !text)
        return -1;
    if (world)
        comm_broadcast_buffer(world, &text, &size, 0);
    parse(out, text, size, path, overrides, e);
    mem_free(text);
    return world ? agree(world, e) : e->code == ERR_NONE ? 0 : -1;
}
