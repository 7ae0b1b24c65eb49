/* config.json of transformers 4 and 5 (they spell rope and dtype differently) into a model_config.
 *
 * Defaults for absent keys are transformers' own. Keys that only concern training or serving are not read; a key that
 * would change what the model computes is honoured or refused by name. */
#include "fmt/config_internal.h"

#include <string.h>

#include "fmt/json_fields.h"

static int refuse_family(const struct fields *f)
{
    struct strbuf known;
    strbuf_init(&known);
    int count;
    const struct model_family *families = model_families(&count);
    for (int i = 0; i < count; i++)
        strbuf_printf(&known, "%s%s", i ? ", " : "", families[i].model_type);
    fields_refuse(f, "model_type", "retort knows %s", known.data);
    strbuf_release(&known);
    return -1;
}

static int read_family(struct model_config *c, const struct fields *f)
{
    const char *type = fields_need_text(f, "model_type");
    int count;
    const struct model_family *families = model_families(&count);
    for (int i = 0; i < count; i++)
        if (!strcmp(families[i].model_type, type))
            c->family = &families[i];
    if (!c->family)
        return refuse_family(f);

    const json_t *architectures = fields_get(f, "architectures");
    const char *first = json_string_value(json_array_get(architectures, 0));
    if (architectures && (!first || strcmp(first, c->family->architecture)))
        return fields_refuse(f, "architectures", "retort reads [\"%s\"] of model_type %s", c->family->architecture,
                             type);
    return 0;
}

static void read_sizes(struct model_config *c, const struct fields *f)
{
    c->vocab_size = fields_need_int(f, "vocab_size", 1, CONFIG_VOCAB_MAX);
    c->hidden_size = fields_need_int(f, "hidden_size", 1, CONFIG_HIDDEN_MAX);
    c->intermediate_size = fields_need_int(f, "intermediate_size", 1, CONFIG_MLP_MAX);
    c->layers = (int)fields_need_int(f, "num_hidden_layers", 1, CONFIG_LAYERS_MAX);
    c->heads = (int)fields_need_int(f, "num_attention_heads", 1, CONFIG_HEADS_MAX);
    c->kv_heads = (int)fields_int(f, "num_key_value_heads", 1, CONFIG_HEADS_MAX, c->heads);
    c->head_dim = (int)fields_int(f, "head_dim", 2, CONFIG_HEAD_DIM_MAX, 0);
    c->max_positions = fields_need_int(f, "max_position_embeddings", 1, CONFIG_POSITIONS_MAX);
    c->rms_norm_eps = fields_number(f, "rms_norm_eps", CONFIG_EPS_MIN, CONFIG_EPS_MAX, 1e-6);
}

static int read_rope_type(struct model_config *c, const struct fields *rope)
{
    static const struct {
        const char *name;
        enum rope_type type;
    } types[] = {{"default", ROPE_DEFAULT}, {"linear", ROPE_LINEAR}, {"llama3", ROPE_LLAMA3}};
    const char *key = fields_get(rope, "rope_type") ? "rope_type" : "type";
    const char *name = fields_text(rope, key, "default");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (!strcmp(types[i].name, name)) {
            c->rope_type = types[i].type;
            return 0;
        }
    return fields_refuse(rope, key, "retort has default, linear and llama3");
}

static int refuse_partial_rotation(const struct fields *f)
{
    if (fields_number(f, "partial_rotary_factor", 0, 1, 1) < 1)
        fields_refuse(f, "partial_rotary_factor", "only 1 is supported: whole heads are rotated");
    return f->e->code ? -1 : 0;
}

/* transformers 4: rope_theta beside rope_scaling; 5: both in rope_parameters. If both are there, rope_scaling counts.
 */
static int read_rope(struct model_config *c, const struct fields *f)
{
    static const double default_theta = 10000;
    const json_t *old = fields_get(f, "rope_scaling");
    bool empty = !old || (json_is_object(old) && !json_object_size(old));
    const char *key = empty ? "rope_parameters" : "rope_scaling";
    const json_t *object = fields_get(f, key);
    if (object && !json_is_object(object))
        return fields_refuse(f, key, "expected an object or null");

    char section[32];
    strcpy(section, key);
    strcat(section, ".");
    struct fields rope = {object, f->path, section, f->e};
    double theta = fields_number(f, "rope_theta", CONFIG_THETA_MIN, CONFIG_THETA_MAX, default_theta);
    c->rope_theta = fields_number(&rope, "rope_theta", CONFIG_THETA_MIN, CONFIG_THETA_MAX, theta);
    if (refuse_partial_rotation(f) || refuse_partial_rotation(&rope) || read_rope_type(c, &rope))
        return -1;
    if (c->rope_type != ROPE_DEFAULT)
        c->rope_factor = fields_need_number(&rope, "factor", 1, CONFIG_FACTOR_MAX);
    if (c->rope_type != ROPE_LLAMA3)
        return 0;
    c->rope_low_freq_factor = fields_need_number(&rope, "low_freq_factor", 1e-6, CONFIG_FACTOR_MAX);
    c->rope_high_freq_factor = fields_need_number(&rope, "high_freq_factor", 1e-6, CONFIG_FACTOR_MAX);
    c->rope_original_max_positions =
        (double)fields_int(&rope, "original_max_position_embeddings", 1, CONFIG_POSITIONS_MAX, c->max_positions);
    if (c->rope_high_freq_factor <= c->rope_low_freq_factor)
        return fields_refuse(&rope, "high_freq_factor", "expected more than low_freq_factor, %g",
                             c->rope_low_freq_factor);
    return 0;
}

/* How many layers attend through the window, of those that layer_types lists. -1 and an error if the list is no such
 * list. */
static int count_window_layers(const struct model_config *c, const struct fields *f, const json_t *types)
{
    if (!json_is_array(types) || json_array_size(types) != (size_t)c->layers)
        return fields_refuse(f, "layer_types", "expected a list of one type per layer");
    int sliding = 0;
    for (int i = 0; i < c->layers; i++) {
        const char *type = json_string_value(json_array_get(types, (size_t)i));
        if (type && !strcmp(type, "sliding_attention"))
            sliding++;
        else if (!type || strcmp(type, "full_attention"))
            return fields_refuse(f, "layer_types", "retort has full_attention and sliding_attention");
    }
    return sliding;
}

static int read_window(struct model_config *c, const struct fields *f)
{
    enum { MISTRAL_WINDOW = 4096, MAX_WINDOW_LAYERS = 28 }; /* transformers' defaults */
    if (c->family->window == WINDOW_NEVER)
        return 0;
    bool null = json_is_null(json_object_get(f->object, "sliding_window"));
    int64_t window = fields_int(f, "sliding_window", 1, CONFIG_POSITIONS_MAX, null ? 0 : MISTRAL_WINDOW);
    if (c->family->window == WINDOW_ALWAYS) {
        c->sliding_window = window;
        return 0;
    }
    if (!fields_bool(f, "use_sliding_window", false) || !window)
        return 0;
    int64_t full = fields_int(f, "max_window_layers", 0, CONFIG_POSITIONS_MAX, MAX_WINDOW_LAYERS);
    int sliding = full < c->layers ? c->layers - (int)full : 0;
    const json_t *types = fields_get(f, "layer_types");
    if (types && (sliding = count_window_layers(c, f, types)) < 0)
        return -1;
    if (sliding && sliding < c->layers)
        return fields_refuse(f, "use_sliding_window",
                             "a window on %d of %d layers is not supported, only on all or none", sliding, c->layers);
    c->sliding_window = sliding ? window : 0;
    return 0;
}

static int read_biases(struct model_config *c, const struct fields *f)
{
    bool attention = fields_bool(f, "attention_bias", c->family->qkv_bias);
    if (!c->family->bias_keys && attention != c->family->qkv_bias)
        return fields_refuse(f, "attention_bias", "models of type %s %s", c->family->model_type,
                             c->family->qkv_bias ? "always have biases of q, k and v" : "have no such biases");
    c->qkv_bias = attention;
    c->o_bias = c->family->bias_keys && attention;
    c->mlp_bias = fields_bool(f, "mlp_bias", false);
    if (c->mlp_bias && !c->family->mlp_bias_key)
        return fields_refuse(f, "mlp_bias", "models of type %s have no such biases", c->family->model_type);
    return 0;
}

/* Keys that ask for something else than a dense model in plain weights. */
static int refuse_others(const struct fields *f)
{
    if (strcmp(fields_text(f, "hidden_act", "silu"), "silu"))
        return fields_refuse(f, "hidden_act", "only silu is supported");
    if (!fields_get(f, "quantization_config"))
        return 0;
    return fields_refuse(f, "quantization_config",
                         "quantised checkpoints are not read; use the model's 16-bit weights");
}

/* A token id, null, or a list of which the first counts. */
static int64_t read_token(const struct fields *f, const char *key)
{
    const json_t *value = fields_get(f, key);
    if (json_is_array(value))
        value = json_array_get(value, 0);
    if (!value)
        return -1;
    int64_t id = json_integer_value(value);
    if (json_is_integer(value) && id >= 0 && id < CONFIG_TOKEN_MAX)
        return id;
    fields_refuse(f, key, "expected a token id, a list of them, or null");
    return -1;
}

static int read_config(struct model_config *c, const struct fields *f)
{
    if (read_family(c, f))
        return -1;
    c->qk_norm = c->family->qk_norm;
    read_sizes(c, f);
    c->tie_word_embeddings = fields_bool(f, "tie_word_embeddings", false);
    c->bos_token_id = read_token(f, "bos_token_id");
    c->eos_token_id = read_token(f, "eos_token_id");
    if (f->e->code || refuse_others(f) || read_rope(c, f) || read_window(c, f) || read_biases(c, f) || f->e->code)
        return -1;
    return model_config_check(c, f->path, f->e);
}

int model_config_from_json(struct model_config *c, const char *text, size_t size, const char *path, struct err *e)
{
    json_t *root = json_parse_object(text, size, path, e);
    if (!root)
        return -1;
    struct fields f = {root, path, "", e};
    struct model_config read = {0};
    int rc = read_config(&read, &f);
    if (!rc)
        *c = read;
    json_decref(root);
    return rc;
}
