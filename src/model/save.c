#include "model/save.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "kern/quant.h"
#include "model/shard_file.h"
#include "par/agree.h"

static const char *dtype_in_config(enum dtype t)
{
    return t == DTYPE_BF16 ? "bfloat16" : t == DTYPE_F16 ? "float16" : "float32";
}

/* The tensors of one part in the plan; index[i] is the plan's index of parameter i, -1: not in it. */
static struct safetensors_plan *plan_of(const struct model *m, bool adapter, enum dtype dtype, int *index)
{
    struct safetensors_plan *plan = safetensors_plan_new();
    safetensors_plan_metadata(plan, "format", "pt");
    for (int i = 0; i < m->param_count; i++) {
        const struct param *p = &m->params[i];
        int64_t shape[2];
        int rank = param_file_shape(p, shape);
        bool here = (p->part != PART_BASE) == adapter;
        index[i] = here ? safetensors_plan_add(plan, p->name, dtype, rank, shape) : -1;
    }
    return plan;
}

static const struct lora *lora_of(const struct model *m, const struct param *p)
{
    if (p->layer < 0 || p->part != PART_BASE)
        return NULL;
    const struct layer *l = &m->layers[p->layer];
    const struct linear *all[] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->w == p)
            return all[i]->lora;
    return NULL;
}

/* w += scale * B A on the local elements. Column cuts are A's, row cuts are B's: nothing has to be summed. */
static void add_adapter(float *w, const struct param *p, const struct lora *l)
{
    int64_t rows = param_local_rows(p), cols = param_local_cols(p);
    struct matrix a = param_matrix(l->a);
    float *b = mem_array((size_t)(rows * l->rank), sizeof *b);
    const float *from = l->b->data;
    for (int64_t i = 0; i < rows * l->rank; i++)
        b[i] = l->scale * from[i];
    gemm_backward_input(PRECISION_F32, w, cols, b, l->rank, a, rows, true);
    mem_free(b);
}

static int save_param(struct shard_file *f, int index, enum dtype dtype, const struct model *m, const struct param *p,
                      bool merge, struct err *e)
{
    int64_t n = param_elements(p);
    const struct lora *lora = merge ? lora_of(m, p) : NULL;
    if (p->dtype == DTYPE_F32 && !lora)
        return shard_file_write(f, index, dtype, p, p->data, 0, n, e);
    float *w = mem_try((size_t)n * sizeof *w);
    if (!w)
        return err_set(e, ERR_ENVIRONMENT, "tensor %s: no memory to write it (%lld elements)", p->name, (long long)n);
    dequantize(w, p->data, p->dtype, n);
    if (lora)
        add_adapter(w, p, lora);
    int rc = shard_file_write(f, index, dtype, p, w, 0, n, e);
    mem_free_large(w, (size_t)n * sizeof *w);
    return rc;
}

static int save_part(const struct model *m, const char *path, bool adapter, enum dtype dtype, bool merge, struct err *e)
{
    int *index = mem_array((size_t)m->param_count, sizeof *index);
    struct safetensors_plan *plan = plan_of(m, adapter, dtype, index);
    struct shard_file *f;
    int rc = shard_file_create(&f, path, plan, &m->shards, e);
    if (!rc) {
        for (int i = 0; i < m->param_count && e->code == ERR_NONE; i++)
            if (index[i] >= 0)
                save_param(f, index[i], dtype, m, &m->params[i], merge, e);
        rc = shard_file_commit(f, e);
    }
    safetensors_plan_free(plan);
    mem_free(index);
    return rc;
}

/* Collective over shards: shard 0 writes text to directory/name. */
static int save_text(const struct model *m, const char *directory, const char *name, const struct strbuf *text,
                     struct err *e)
{
    char *path = file_join(directory, name);
    if (m->shards.rank == 0)
        file_write(path, text->data, text->size, e);
    mem_free(path);
    return agree(&m->shards, e);
}

int model_save(const struct model *m, const char *directory, enum dtype dtype, bool merge, struct err *e)
{
    char *path = file_join(directory, "model.safetensors");
    struct strbuf config;
    strbuf_init(&config);
    model_config_to_json(&m->config, dtype_in_config(dtype), &config);
    int rc = save_part(m, path, false, dtype, merge, e);
    if (!rc)
        rc = save_text(m, directory, "config.json", &config, e);
    strbuf_release(&config);
    mem_free(path);
    return rc;
}

int model_save_adapter(const struct model *m, const char *directory, const char *base, struct err *e)
{
    char *path = file_join(directory, "adapter_model.safetensors");
    struct strbuf config;
    strbuf_init(&config);
    adapter_config_to_json(&m->options.adapter, base, &config);
    int rc = save_part(m, path, true, DTYPE_F32, false, e);
    if (!rc)
        rc = save_text(m, directory, "adapter_config.json", &config, e);
    strbuf_release(&config);
    mem_free(path);
    return rc;
}
