#include "model/model.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kern/op_rope.h"
#include "model/block.h"
#include "model/load.h"
#include "model/random.h"
#include "par/agree.h"

enum { LAYER_ROLES_MAX = PARAM_ROLES, LORA_PARTS = 2 };

static bool is_target(const struct adapter_config *a, const char *module)
{
    for (int i = 0; module && i < a->target_count; i++)
        if (!strcmp(a->targets[i], module))
            return true;
    return false;
}

/* The model keeps its own copy: the caller's adapter config may go away. */
static void copy_adapter(struct model *m)
{
    struct adapter_config *a = &m->options.adapter;
    char **targets = arena_alloc(&m->arena, (size_t)a->target_count, sizeof *targets);
    for (int i = 0; i < a->target_count; i++)
        targets[i] = arena_strdup(&m->arena, a->targets[i]);
    a->targets = targets;
}

static struct param *add_param(struct model *m, enum param_role role, int layer, enum param_part part)
{
    struct param *p = &m->params[m->param_count++];
    param_describe(p, &m->config, &m->shard, role, layer, part, m->options.adapter.rank, &m->arena);
    p->trainable = part == PART_BASE ? m->options.train_base : m->options.train_adapter;
    return p;
}

static struct param *add_if_there(struct model *m, enum param_role role, int layer)
{
    return param_exists(&m->config, role) ? add_param(m, role, layer, PART_BASE) : NULL;
}

static struct linear add_linear(struct model *m, enum param_role role, enum param_role bias, int layer)
{
    struct linear l = {.w = add_param(m, role, layer, PART_BASE)};
    if (bias != PARAM_ROLES)
        l.bias = add_if_there(m, bias, layer);
    const struct adapter_config *a = &m->options.adapter;
    if (a->rank > 0 && is_target(a, param_row(role)->module)) {
        l.lora = arena_alloc(&m->arena, 1, sizeof *l.lora);
        l.lora->a = add_param(m, role, layer, PART_LORA_A);
        l.lora->b = add_param(m, role, layer, PART_LORA_B);
        l.lora->rank = a->rank;
        l.lora->scale = (float)(a->rslora ? a->alpha / sqrt(a->rank) : a->alpha / a->rank);
    }
    return l;
}

static void add_layer(struct model *m, int i)
{
    struct layer *l = &m->layers[i];
    l->attn_norm = add_param(m, PARAM_ATTN_NORM, i, PART_BASE);
    l->q = add_linear(m, PARAM_Q, PARAM_Q_BIAS, i);
    l->k = add_linear(m, PARAM_K, PARAM_K_BIAS, i);
    l->v = add_linear(m, PARAM_V, PARAM_V_BIAS, i);
    l->q_norm = add_if_there(m, PARAM_Q_NORM, i);
    l->k_norm = add_if_there(m, PARAM_K_NORM, i);
    l->o = add_linear(m, PARAM_O, PARAM_ROLES, i);
    l->mlp_norm = add_param(m, PARAM_MLP_NORM, i, PART_BASE);
    l->gate = add_linear(m, PARAM_GATE, PARAM_ROLES, i);
    l->up = add_linear(m, PARAM_UP, PARAM_ROLES, i);
    l->down = add_linear(m, PARAM_DOWN, PARAM_ROLES, i);
}

/* In the order in which a backward finishes gradients (model.h, trainable). */
static void add_params(struct model *m)
{
    size_t most = (size_t)m->config.layers * LAYER_ROLES_MAX * (1 + LORA_PARTS) + PARAM_ROLES;
    m->params = arena_alloc(&m->arena, most, sizeof *m->params);
    m->layers = arena_alloc(&m->arena, (size_t)m->config.layers, sizeof *m->layers);
    m->head = add_if_there(m, PARAM_HEAD, -1);
    m->norm = add_param(m, PARAM_NORM, -1, PART_BASE);
    for (int i = m->config.layers - 1; i >= 0; i--)
        add_layer(m, i);
    m->embed = add_param(m, PARAM_EMBED, -1, PART_BASE);
    if (!m->head)
        m->head = m->embed;
}

static int place_trainable(struct model *m, struct err *e)
{
    for (int i = 0; i < m->param_count; i++)
        if (m->params[i].trainable) {
            m->params[i].offset = m->trainable_count;
            m->trainable_count += param_elements(&m->params[i]);
        }
    if (!m->trainable_count)
        return 0;
    m->trainable = arena_try(&m->arena, (size_t)m->trainable_count, sizeof(float));
    m->gradient = arena_try(&m->arena, (size_t)m->trainable_count, sizeof(float));
    if (!m->trainable || !m->gradient)
        return err_set(e, ERR_ENVIRONMENT,
                       "%s: no memory for %lld trainable parameters and their gradients (%.1f GB on this rank)",
                       model_files_path(m->files), (long long)m->trainable_count, 8e-9 * (double)m->trainable_count);
    for (int i = 0; i < m->param_count; i++)
        if (m->params[i].trainable)
            m->params[i].data = m->trainable + m->params[i].offset;
    return 0;
}

static void make_rotary_tables(struct model *m)
{
    const struct model_config *c = &m->config;
    int64_t half = c->head_dim / 2;
    struct rope_scaling scaling = {0};
    if (c->rope_type == ROPE_LINEAR)
        scaling.linear_factor = c->rope_factor;
    if (c->rope_type == ROPE_LLAMA3)
        scaling = (struct rope_scaling){c->rope_factor, c->rope_low_freq_factor, c->rope_high_freq_factor,
                                        c->rope_original_max_positions, 0};
    float *w = arena_alloc(&m->arena, (size_t)half, sizeof *w);
    rope_frequencies(w, c->head_dim, c->rope_theta, &scaling);
    m->cos_table = arena_alloc(&m->arena, (size_t)(m->options.positions * half), sizeof(float));
    m->sin_table = arena_alloc(&m->arena, (size_t)(m->options.positions * half), sizeof(float));
    rope_table(m->cos_table, m->sin_table, w, m->options.positions, c->head_dim);
}

/* What the caller will ask of the model and its config cannot give. */
static int check_limits(const struct model *m, const char *key, struct err *e)
{
    const struct model_config *c = &m->config;
    const char *path = model_files_path(m->files);
    if (m->options.positions > c->max_positions)
        return err_set(e, ERR_INPUT, "%s: %s: sequences of %lld tokens are longer than the model's limit of %lld", key,
                       path, (long long)m->options.positions, (long long)c->max_positions);
    if (c->sliding_window && c->sliding_window < m->options.positions)
        return err_set(e, ERR_INPUT,
                       "%s: %s: its sliding window of %lld is shorter than sequences of %lld tokens, "
                       "which retort does not have; shorten the sequences",
                       key, path, (long long)c->sliding_window, (long long)m->options.positions);
    if (c->o_bias || c->mlp_bias)
        return err_set(e, ERR_INPUT, "%s: %s: config.json asks for a bias in %s, which retort does not have", key, path,
                       c->o_bias ? "o_proj (attention_bias)" : "the MLP (mlp_bias)");
    return 0;
}

/* A pruned model has the blocks that are kept. */
static int apply_keep(struct model *m, struct err *e)
{
    const struct model_options *o = &m->options;
    for (int i = 0; i < o->keep_count; i++)
        if (o->keep[i] < 0 || o->keep[i] >= m->config.layers)
            return err_set(e, ERR_USAGE, "%s: layer %d is asked for; the model has 0 to %d", model_files_path(m->files),
                           o->keep[i], m->config.layers - 1);
    if (o->keep)
        m->config.layers = o->keep_count;
    return 0;
}

static int open_local(struct model *m, const char *path, const char *key, struct err *e)
{
    const bool random = m->options.random;
    if (random ? model_files_open_config(&m->files, path, e) : model_files_open(&m->files, path, e)) {
        err_prefix(e, "%s", key);
        return -1;
    }
    m->config = *model_files_config(m->files);
    if (apply_keep(m, e) || check_limits(m, key, e) ||
        shard_make(&m->shard, &m->config, m->shards.rank, m->shards.size, key, &m->arena, e))
        return -1;
    add_params(m);
    if (place_trainable(m, e) || (random ? model_fill_random(m, e) : model_load(m, e))) {
        err_prefix(e, "%s", key);
        return -1;
    }
    m->partial = arena_alloc(&m->arena, (size_t)partial_size(m), sizeof *m->partial);
    make_rotary_tables(m);
    return 0;
}

int model_open(struct model **out, const char *path, const struct model_options *options, const struct comm *shards,
               const char *key, struct err *e)
{
    struct model *m = mem_alloc(sizeof *m);
    arena_init(&m->arena);
    m->options = *options;
    m->shards = *shards;
    copy_adapter(m);
    open_local(m, path, key, e);
    if (agree(shards, e)) {
        model_close(m);
        return -1;
    }
    *out = m;
    return 0;
}

void model_close(struct model *m)
{
    if (!m)
        return;
    model_files_close(m->files);
    arena_release(&m->arena);
    mem_free(m);
}

int64_t model_weight_bytes(const struct model *m)
{
    int64_t bytes = 0;
    for (int i = 0; i < m->param_count; i++)
        bytes += param_elements(&m->params[i]) * dtype_block_bytes(m->params[i].dtype);
    return bytes;
}

int64_t model_parameters(const struct model *m)
{
    int64_t n = 0;
    for (int i = 0; i < m->param_count; i++)
        n += m->params[i].global_rows * m->params[i].global_cols;
    return n;
}
