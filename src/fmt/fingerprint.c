#include "fmt/fingerprint.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

enum { HEAD_BYTES = 64 << 10, SAMPLE_BYTES = 4 << 10, SAMPLES = 16 };

static void add_name(struct hash64 *h, const char *path, uint64_t size)
{
    const char *name = file_name(path);
    hash64_add(h, name, strlen(name) + 1);
    hash64_add(h, &size, sizeof size);
}

/* The last sample ends with the file. */
static void add_samples(struct hash64 *h, const struct file_map *map)
{
    hash64_add(h, map->data, map->size < HEAD_BYTES ? map->size : HEAD_BYTES);
    for (size_t i = 0; i < SAMPLES && map->size > HEAD_BYTES; i++)
        hash64_add(h, map->data + (map->size - SAMPLE_BYTES) / (SAMPLES - 1) * i, SAMPLE_BYTES);
}

static int add_weights(struct hash64 *h, const char *path, struct err *e)
{
    struct file_map map;
    if (file_map_open(&map, path, e))
        return -1;
    add_name(h, path, map.size);
    add_samples(h, &map);
    file_map_close(&map);
    return 0;
}

static int add_config(struct hash64 *h, const char *directory, const char *name, struct err *e)
{
    struct file_map map;
    char *path = file_join(directory, name);
    int rc = 0;
    if (file_exists(path) && !(rc = file_map_open(&map, path, e))) {
        add_name(h, path, map.size);
        hash64_add(h, map.data, map.size);
        file_map_close(&map);
    }
    mem_free(path);
    return rc;
}

static int is_weights(const struct dirent *d)
{
    return file_ends_in(d->d_name, ".safetensors");
}

/* By bytes, whatever the locale says. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_directory(struct hash64 *h, const char *directory, struct err *e)
{
    struct dirent **found;
    const int n = scandir(directory, &found, is_weights, by_name);
    if (n < 0)
        return err_set(e, ERR_INPUT, "%s: %s", directory, strerror(errno));
    int rc = add_config(h, directory, "config.json", e) || add_config(h, directory, "adapter_config.json", e) ? -1 : 0;
    for (int i = 0; i < n; i++) {
        char *path = file_join(directory, found[i]->d_name);
        rc = rc ? rc : add_weights(h, path, e);
        mem_free(path);
        free(found[i]);
    }
    free(found);
    if (!rc && !n)
        return err_set(e, ERR_INPUT, "%s: there is no .safetensors file in it", directory);
    return rc;
}

int fingerprint(const char *path, uint64_t *out, struct err *e)
{
    struct hash64 *h = hash64_new();
    const int rc = file_is_directory(path) ? add_directory(h, path, e) : add_weights(h, path, e);
    const uint64_t value = hash64_value(h);
    hash64_free(h);
    if (!rc)
        *out = value ? value : 1;
    return rc;
}
