#include "fmt/model_files.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/mem.h"
#include "fmt/gguf.h"
#include "fmt/json_fields.h"
#include "fmt/tensor_index.h"

struct model_files {
    struct arena arena;
    const char *path;
    struct model_config config;
    struct gguf *gguf; /* or NULL, and then: */
    struct shard_file {
        const char *name, *path;
        struct safetensors *file;
    } * shards;
    int shard_count;
    struct tensor_index index;
};

static const char *path_of(struct model_files *m, const char *name)
{
    char *joined = file_join(m->path, name);
    const char *kept = arena_strdup(&m->arena, joined);
    mem_free(joined);
    return kept;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);
    return n >= k && !strcmp(text + n - k, end);
}

static int read_config(struct model_files *m, struct err *e)
{
    const char *path = ends_with(m->path, ".json") ? m->path : path_of(m, "config.json");
    if (!file_exists(path))
        return err_set(e, ERR_INPUT, "%s: there is no config.json; a model is a Hugging Face directory or a GGUF file",
                       m->path);
    struct file_map map = {0};
    if (file_map_open(&map, path, e))
        return -1;
    int rc = model_config_from_json(&m->config, (const char *)map.data, map.size, path, e);
    file_map_close(&map);
    return rc;
}

static void index_file(struct model_files *m, const struct safetensors *file)
{
    int n = safetensors_count(file);
    tensor_index_init(&m->index, &m->arena, n);
    for (int i = 0; i < n; i++)
        tensor_index_add(&m->index, safetensors_at(file, i));
}

static int open_single(struct model_files *m, const char *path, struct err *e)
{
    m->shards = arena_alloc(&m->arena, 1, sizeof *m->shards);
    m->shards[0] = (struct shard_file){.name = file_name(path), .path = path};
    m->shard_count = 1;
    if (safetensors_open(&m->shards[0].file, path, e))
        return -1;
    index_file(m, m->shards[0].file);
    tensor_index_finish(&m->index); /* names in one file are unique */
    return 0;
}

/* Opens the shard at its first mention. An index names files beside itself, never a path. */
static struct shard_file *find_shard(struct model_files *m, const char *index_path, const char *name, struct err *e)
{
    for (int i = 0; i < m->shard_count; i++)
        if (!strcmp(m->shards[i].name, name))
            return &m->shards[i];
    if (!tensor_name_ok(name, strlen(name)) || strchr(name, '/') || name[0] == '.') {
        err_set(e, ERR_INPUT, "%s: weight_map: expected plain file names beside the index", index_path);
        return NULL;
    }
    struct shard_file *shard = &m->shards[m->shard_count];
    shard->name = arena_strdup(&m->arena, name);
    shard->path = path_of(m, name);
    if (!file_exists(shard->path)) {
        err_set(e, ERR_INPUT, "%s: missing, but %s names it: is the download complete?", shard->path, index_path);
        return NULL;
    }
    if (safetensors_open(&shard->file, shard->path, e))
        return NULL;
    m->shard_count++;
    return shard;
}

static int open_listed(struct model_files *m, const char *index_path, json_t *map, struct err *e)
{
    /* as many shards as tensors at most */
    m->shards = arena_alloc(&m->arena, json_object_size(map), sizeof *m->shards);
    tensor_index_init(&m->index, &m->arena, (int)json_object_size(map));
    const char *name;
    json_t *file;
    json_object_foreach(map, name, file)
    {
        if (!json_is_string(file) || !tensor_name_ok(name, strlen(name)))
            return err_set(e, ERR_INPUT, "%s: weight_map: expected \"tensor\": \"file\"", index_path);
        struct shard_file *shard = find_shard(m, index_path, json_string_value(file), e);
        if (!shard)
            return -1;
        const struct tensor *t = safetensors_find(shard->file, name);
        if (!t)
            return err_set(e, ERR_INPUT, "%s: tensor %s is missing, but %s says that it is here", shard->path, name,
                           index_path);
        tensor_index_add(&m->index, t);
    }
    tensor_index_finish(&m->index); /* keys of a JSON object are unique */
    return 0;
}

static int open_sharded(struct model_files *m, const char *index_path, struct err *e)
{
    struct file_map map = {0};
    if (file_map_open(&map, index_path, e))
        return -1;
    int rc = -1;
    json_t *root = json_parse_object((const char *)map.data, map.size, index_path, e);
    json_t *weights = json_object_get(root, "weight_map");
    if (root && (!json_is_object(weights) || !json_object_size(weights)))
        err_set(e, ERR_INPUT, "%s: weight_map: expected an object of \"tensor\": \"file\"", index_path);
    else if (root)
        rc = open_listed(m, index_path, weights, e);
    json_decref(root);
    file_map_close(&map);
    return rc;
}

/* No safetensors: say so, and say it better where the weights are there in a form that is not read. */
static int refuse_weights(const struct model_files *m, struct err *e)
{
    const char *other = NULL;
    DIR *directory = opendir(m->path);
    for (struct dirent *d; directory && !other && (d = readdir(directory));)
        if (ends_with(d->d_name, ".bin") || ends_with(d->d_name, ".pth") || ends_with(d->d_name, ".bin.index.json"))
            other = "only .safetensors is read, and here are .bin or .pth files: save the model again with safetensors";
    if (directory)
        closedir(directory);
    return err_set(e, ERR_INPUT, "%s: %s", m->path,
                   other ? other : "there is no model.safetensors and no model.safetensors.index.json");
}

static int open_weights(struct model_files *m, struct err *e)
{
    const char *single = path_of(m, "model.safetensors"), *index = path_of(m, "model.safetensors.index.json");
    if (file_exists(single))
        return open_single(m, single, e);
    if (file_exists(index))
        return open_sharded(m, index, e);
    return refuse_weights(m, e);
}

static int open_gguf(struct model_files *m, struct err *e)
{
    return gguf_open(&m->gguf, m->path, e) ? -1 : model_config_from_gguf(&m->config, m->gguf, m->path, e);
}

static int open_any(struct model_files **out, const char *path, bool weights, struct err *e)
{
    struct model_files *m = mem_alloc(sizeof *m);
    arena_init(&m->arena);
    m->path = arena_strdup(&m->arena, path);
    int rc;
    if (file_is_directory(path) || (!weights && ends_with(path, ".json")))
        rc = read_config(m, e) || (weights && open_weights(m, e)) ? -1 : 0;
    else
        rc = open_gguf(m, e);
    if (rc)
        model_files_close(m);
    else
        *out = m;
    return rc;
}

int model_files_open(struct model_files **out, const char *path, struct err *e)
{
    return open_any(out, path, true, e);
}

int model_files_open_config(struct model_files **out, const char *path, struct err *e)
{
    return open_any(out, path, false, e);
}

void model_files_close(struct model_files *m)
{
    if (!m)
        return;
    for (int i = 0; i < m->shard_count; i++)
        safetensors_close(m->shards[i].file);
    gguf_close(m->gguf);
    arena_release(&m->arena);
    mem_free(m);
}

const char *model_files_path(const struct model_files *m)
{
    return m->path;
}

const struct model_config *model_files_config(const struct model_files *m)
{
    return &m->config;
}

bool model_files_is_gguf(const struct model_files *m)
{
    return m->gguf != NULL;
}

const struct gguf *model_files_gguf(const struct model_files *m)
{
    return m->gguf;
}

const struct tensor *model_files_find(const struct model_files *m, const char *name)
{
    return m->gguf ? gguf_tensor_find(m->gguf, name) : tensor_index_find(&m->index, name);
}

int model_files_count(const struct model_files *m)
{
    return m->gguf ? gguf_tensor_count(m->gguf) : m->index.count;
}

const struct tensor *model_files_at(const struct model_files *m, int i)
{
    return m->gguf ? gguf_tensor_at(m->gguf, i) : m->index.by_name[i];
}

const char *model_files_of(const struct model_files *m, const struct tensor *t)
{
    for (int i = 0; i < m->shard_count; i++)
        if (safetensors_find(m->shards[i].file, t->name) == t)
            return m->shards[i].path;
    return m->path;
}

int model_files_require(const struct model_files *m, const char *name, int rank, const int64_t *shape,
                        const struct tensor **out, struct err *e)
{
    char expected[192], found[192];
    tensor_shape_text(expected, sizeof expected, rank, shape);
    const struct tensor *t = model_files_find(m, name);
    if (!t)
        return err_set(e, ERR_INPUT, "%s: tensor %s is missing; its shape should be %s", m->path, name, expected);
    tensor_shape_text(found, sizeof found, t->rank, t->shape);
    if (t->rank != rank || memcmp(t->shape, shape, (size_t)rank * sizeof *shape))
        return err_set(e, ERR_INPUT, "%s: tensor %s has shape %s; the config asks for %s", model_files_of(m, t), name,
                       found, expected);
    *out = t;
    return 0;
}
