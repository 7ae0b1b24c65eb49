/* Where an adapter's numbers come from: drawn afresh, or read from a PEFT directory. */
#include <math.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kern/op_linear.h"
#include "model/model.h"
#include "model/shard_file.h"
#include "par/agree.h"

#include <string.h>

/* Element i of a tensor is a function of (seed, name, i) alone. */
static float uniform_element(uint64_t key, uint64_t element, float bound)
{
    struct rng_block block = rng_philox(key, element, 0);
    return (float)(2 * rng_to_uniform(block.v[0], block.v[1]) - 1) * bound;
}

static void init_a(struct param *p, float *to, uint64_t seed)
{
    uint64_t key = hash64(p->name, strlen(p->name)) ^ seed;
    float bound = 1 / sqrtf((float)p->global_cols);
    int64_t cols = param_local_cols(p);
    for (int64_t i = 0; i < param_local_rows(p); i++)
        for (int64_t j = 0; j < cols; j++) {
            int64_t element = (p->rows.first + i) * p->global_cols + p->cols.first + j;
            to[i * cols + j] = uniform_element(key, (uint64_t)element, bound);
        }
}

/* Memory of an adapter that is not trained: the model's arena (a trained one has its place in the trainable buffer). */
static float *adapter_memory(struct model *m, struct param *p)
{
    if (!p->data)
        p->data = arena_alloc(&m->arena, (size_t)param_elements(p), sizeof(float));
    return (float *)p->data;
}

void model_init_adapter(struct model *m, uint64_t seed)
{
    for (int i = 0; i < m->param_count; i++) {
        struct param *p = &m->params[i];
        if (p->part == PART_BASE)
            continue;
        float *to = adapter_memory(m, p);
        if (p->part == PART_LORA_A)
            init_a(p, to, seed);
        else
            memset(to, 0, (size_t)param_elements(p) * sizeof *to);
    }
}

/* A value that is not finite would spread through the model without a sign of where it came from. */
static int check_finite(const struct param *p, const char *path, struct err *e)
{
    int64_t cols = param_local_cols(p);
    for (int64_t i = 0; i < param_local_rows(p); i++) {
        int64_t bad = vector_count_not_finite((const float *)p->data + i * cols, cols);
        if (bad)
            return err_set(e, ERR_INPUT,
                           "%s: tensor %s: row %lld holds %lld values that are not finite; the file is damaged", path,
                           p->name, (long long)(p->rows.first + i), (long long)bad);
    }
    return 0;
}

static int load_part(struct model *m, struct param *p, const struct safetensors *s, const char *path, struct err *e)
{
    const struct tensor *t = safetensors_find(s, p->name);
    if (!t)
        return err_set(e, ERR_INPUT, "%s: tensor %s is missing", path, p->name);
    if (shard_read(p, adapter_memory(m, p), 0, param_elements(p), t, path, e))
        return -1;
    return check_finite(p, path, e);
}

static int load_parts(struct model *m, const char *path, struct err *e)
{
    struct safetensors *s;
    if (safetensors_open(&s, path, e))
        return -1;
    int rc = 0, used = 0;
    for (int i = 0; i < m->param_count && !rc; i++) {
        struct param *p = &m->params[i];
        if (p->part == PART_BASE)
            continue;
        rc = load_part(m, p, s, path, e);
        used++;
    }
    if (!rc && used != safetensors_count(s))
        rc = err_set(e, ERR_INPUT, "%s: holds %d tensors, but the targets of adapter_config.json name %d", path,
                     safetensors_count(s), used);
    safetensors_close(s);
    return rc;
}

int model_load_adapter(struct model *m, const char *directory, struct err *e)
{
    char *path = file_join(directory, "adapter_model.safetensors");
    load_parts(m, path, e);
    mem_free(path);
    return agree(&m->shards, e);
}
