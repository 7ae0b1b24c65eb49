/* GGUF metadata into a model_config. What metadata does not say is read off the tensors: whether the head is tied,
 * which biases there are, the size of the vocabulary, Llama 3's rope scaling. */
#include "fmt/config_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fmt/gguf.h"
#include "fmt/json_fields.h"

/* The keys of one architecture; the first complaint stays in e. */
struct keys {
    const struct gguf *g;
    const char *path, *architecture;
    struct err *e;
};

static const char *key_name(const struct keys *k, const char *suffix, char *name, size_t room)
{
    snprintf(name, room, "%s.%s", k->architecture, suffix);
    return name;
}
enum { KEY_ROOM = 96 };

static bool has(const struct keys *k, const char *suffix)
{
    char name[KEY_ROOM];
    return gguf_has(k->g, key_name(k, suffix, name, sizeof name));
}

static uint64_t need_int(const struct keys *k, const char *suffix, uint64_t min, uint64_t max)
{
    char name[KEY_ROOM];
    uint64_t v = 0;
    if (!gguf_get_u64(k->g, key_name(k, suffix, name, sizeof name), &v) || v < min || v > max)
        err_set(k->e, ERR_INPUT, "%s: key %s: expected one integer from %llu to %llu", k->path, name,
                (unsigned long long)min, (unsigned long long)max);
    return v;
}

static uint64_t get_int(const struct keys *k, const char *suffix, uint64_t min, uint64_t max, uint64_t absent)
{
    return has(k, suffix) ? need_int(k, suffix, min, max) : absent;
}

/* f32 metadata were written from a decimal like 1e-05: give that decimal back, not its f32 neighbour. */
static double nearest_decimal(double value)
{
    char text[32];
    float f = (float)value;
    if ((double)f != value)
        return value;
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtof(text, NULL) == f)
            return strtod(text, NULL);
    }
    return value;
}

static double need_number(const struct keys *k, const char *suffix, double min, double max)
{
    char name[KEY_ROOM];
    double v = 0;
    if (!gguf_get_f64(k->g, key_name(k, suffix, name, sizeof name), &v) || !(v >= min && v <= max)) {
        err_set(k->e, ERR_INPUT, "%s: key %s: expected a number from %g to %g", k->path, name, min, max);
        return min;
    }
    return nearest_decimal(v);
}

static double get_number(const struct keys *k, const char *suffix, double min, double max, double absent)
{
    return has(k, suffix) ? need_number(k, suffix, min, max) : absent;
}

static bool text_is(const char *text, size_t size, const char *expected)
{
    return size == strlen(expected) && !memcmp(text, expected, size);
}

/* Puts the file's own text into an error as one line. */
static int refuse_text(const struct keys *k, const char *key, const char *text, size_t size, const char *expected)
{
    enum { SHOWN_MAX = 80 };
    struct strbuf shown;
    strbuf_init(&shown);
    json_put_text(&shown, text, size < SHOWN_MAX ? size : SHOWN_MAX);
    int rc = err_set(k->e, ERR_INPUT, "%s: key %s is %s; %s", k->path, key, shown.data, expected);
    strbuf_release(&shown);
    return rc;
}

static int read_family(struct model_config *c, struct keys *k)
{
    static const char key[] = "general.architecture";
    const char *text;
    size_t size;
    if (!gguf_get_string(k->g, key, &text, &size))
        return err_set(k->e, ERR_INPUT, "%s: key %s is missing or no string", k->path, key);
    int count;
    const struct model_family *families = model_families(&count);
    struct strbuf known;
    strbuf_init(&known);
    strbuf_adds(&known, "retort knows");
    for (int i = 0; i < count && !c->family; i++) {
        if (text_is(text, size, families[i].gguf_architecture))
            c->family = &families[i];
        if (!i || strcmp(families[i - 1].gguf_architecture, families[i].gguf_architecture))
            strbuf_printf(&known, " %s", families[i].gguf_architecture);
    }
    int rc = c->family ? 0 : refuse_text(k, key, text, size, known.data);
    strbuf_release(&known);
    if (!rc)
        k->architecture = c->family->gguf_architecture;
    return rc;
}

static void read_sizes(struct model_config *c, const struct keys *k)
{
    c->hidden_size = (int64_t)need_int(k, "embedding_length", 1, CONFIG_HIDDEN_MAX);
    c->intermediate_size = (int64_t)need_int(k, "feed_forward_length", 1, CONFIG_MLP_MAX);
    c->layers = (int)need_int(k, "block_count", 1, CONFIG_LAYERS_MAX);
    c->heads = (int)need_int(k, "attention.head_count", 1, CONFIG_HEADS_MAX);
    c->kv_heads = (int)get_int(k, "attention.head_count_kv", 1, CONFIG_HEADS_MAX, (uint64_t)c->heads);
    c->head_dim = (int)get_int(k, "attention.key_length", 2, CONFIG_HEAD_DIM_MAX, 0);
    c->max_positions = (int64_t)need_int(k, "context_length", 1, CONFIG_POSITIONS_MAX);
    c->sliding_window = (int64_t)get_int(k, "attention.sliding_window", 0, CONFIG_POSITIONS_MAX, 0);
    c->rms_norm_eps = need_number(k, "attention.layer_norm_rms_epsilon", CONFIG_EPS_MIN, CONFIG_EPS_MAX);
}

/* The embedding itself says how many tokens there are; metadata may lack it. */
static int read_vocabulary(struct model_config *c, const struct keys *k)
{
    static const char name[] = "token_embd.weight";
    const struct tensor *t = gguf_tensor_find(k->g, name);
    if (!t || t->rank != 2 || t->shape[0] < 1 || t->shape[0] > CONFIG_VOCAB_MAX)
        return err_set(k->e, ERR_INPUT, "%s: tensor %s is missing, or not a matrix of 1 to %d rows", k->path, name,
                       CONFIG_VOCAB_MAX);
    c->vocab_size = t->shape[0];
    c->tie_word_embeddings = !gguf_tensor_find(k->g, "output.weight");
    return 0;
}

static bool has_tensor(const struct keys *k, const char *name)
{
    return gguf_tensor_find(k->g, name) != NULL;
}

static int read_biases(struct model_config *c, const struct keys *k)
{
    c->qkv_bias = c->family->bias_keys ? has_tensor(k, "blk.0.attn_q.bias") : c->family->qkv_bias;
    c->o_bias = has_tensor(k, "blk.0.attn_output.bias");
    c->mlp_bias = has_tensor(k, "blk.0.ffn_gate.bias") || has_tensor(k, "blk.0.ffn_down.bias");
    c->qk_norm = c->family->qk_norm;
    if (c->o_bias != (c->family->bias_keys && c->qkv_bias) || (c->mlp_bias && !c->family->mlp_bias_key))
        return err_set(k->e, ERR_INPUT, "%s: block 0 has biases that models of type %s do not have", k->path,
                       c->family->model_type);
    return 0;
}

/* One graph, two families: a converter writes Mistral as llama, and only the window tells them apart. */
static void choose_family_by_window(struct model_config *c)
{
    int count;
    const struct model_family *families = model_families(&count);
    for (int i = 0; i < count && c->sliding_window && c->family->window == WINDOW_NEVER; i++)
        if (families[i].window == WINDOW_ALWAYS && !strcmp(families[i].gguf_architecture, c->family->gguf_architecture))
            c->family = &families[i];
}

static int64_t token_id(const struct keys *k, const char *key)
{
    uint64_t id;
    return gguf_get_u64(k->g, key, &id) && id < CONFIG_TOKEN_MAX ? (int64_t)id : -1;
}

/* Llama 3's scaling divides each frequency by a factor between 1 and rope_factor (transformers' llama3 rope, the
 * published definition). The arithmetic is the converter's, in f32 where it is in f32 there. */
static double llama3_divisor(const struct model_config *c, int pair)
{
    double theta = c->rope_theta, old = c->rope_original_max_positions;
    float frequency = 1 / powf((float)theta, 2 * (float)pair / (float)c->head_dim);
    double wavelength = 2 * M_PI / (double)frequency;
    if (wavelength < old / c->rope_high_freq_factor)
        return 1;
    if (wavelength > old / c->rope_low_freq_factor)
        return c->rope_factor;
    double smooth = (old / wavelength - c->rope_low_freq_factor) / (c->rope_high_freq_factor - c->rope_low_freq_factor);
    return 1 / ((1 - smooth) / c->rope_factor + smooth);
}

/* A converter of Llama 3.x writes the divisors as a tensor and forgets their parameters. Every Llama 3.x has low 1,
 * high 4 and 8192 positions; the factor (8 in 3.1, 32 in 3.2) is the largest divisor. If these four do not give the
 * tensor back, it is something else. */
static int recover_llama3(struct model_config *c, const struct keys *k, const struct tensor *t)
{
    /* f32 powers differ by an ulp between libraries, and where smooth is near 0 that counts factor - 1 times */
    const double tolerance = 1e-5;
    int pairs = c->head_dim / 2;
    if (t->dtype != DTYPE_F32 || t->elements != pairs)
        return err_set(k->e, ERR_INPUT, "%s: tensor %s: expected %d values of type F32, one per rotary pair", k->path,
                       t->name, pairs);
    float divisors[CONFIG_HEAD_DIM_MAX / 2];
    memcpy(divisors, t->data, t->bytes);
    c->rope_type = ROPE_LLAMA3;
    c->rope_low_freq_factor = 1;
    c->rope_high_freq_factor = 4;
    c->rope_original_max_positions = 8192;
    c->rope_factor = nearest_decimal((double)divisors[pairs - 1]);
    bool same = c->rope_factor >= 1 && c->rope_factor <= CONFIG_FACTOR_MAX;
    for (int i = 0; i < pairs && same; i++) {
        double expected = llama3_divisor(c, i);
        same = fabs((double)divisors[i] - expected) <= tolerance * expected;
    }
    if (same)
        return 0;
    return err_set(k->e, ERR_INPUT,
                   "%s: tensor %s: these rope factors are not Llama 3's (low 1, high 4, 8192 positions); "
                   "other tables are not supported: use the Hugging Face directory of the model",
                   k->path, t->name);
}

static int read_rope(struct model_config *c, const struct keys *k)
{
    static const double default_theta = 10000;
    c->rope_theta = get_number(k, "rope.freq_base", CONFIG_THETA_MIN, CONFIG_THETA_MAX, default_theta);
    int rotated = (int)get_int(k, "rope.dimension_count", 1, CONFIG_HEAD_DIM_MAX, (uint64_t)c->head_dim);
    if (!k->e->code && rotated != c->head_dim)
        err_set(k->e, ERR_INPUT, "%s: %s.rope.dimension_count is %d of heads of %d: only whole heads are rotated",
                k->path, k->architecture, rotated, c->head_dim);
    char key[KEY_ROOM];
    const char *type = "none";
    size_t size = strlen(type);
    gguf_get_string(k->g, key_name(k, "rope.scaling.type", key, sizeof key), &type, &size);
    double factor = get_number(k, "rope.scale_linear", 1, CONFIG_FACTOR_MAX, 1); /* the key before scaling.type */
    if (text_is(type, size, "linear"))
        factor = need_number(k, "rope.scaling.factor", 1, CONFIG_FACTOR_MAX);
    else if (!text_is(type, size, "none"))
        return refuse_text(k, key, type, size, "retort has none and linear");
    if (k->e->code)
        return -1;
    c->rope_type = factor > 1 ? ROPE_LINEAR : ROPE_DEFAULT;
    c->rope_factor = factor > 1 ? factor : 0;
    const struct tensor *table = gguf_tensor_find(k->g, "rope_freqs.weight");
    if (table && c->rope_type != ROPE_DEFAULT)
        return err_set(k->e, ERR_INPUT, "%s: tensor %s: not supported together with linear scaling", k->path,
                       table->name);
    return table ? recover_llama3(c, k, table) : 0;
}

/* A part of a split file lacks what the others have: say that before anything is missed. */
static int refuse_parts(const struct keys *k)
{
    uint64_t parts = 1;
    gguf_get_u64(k->g, "split.count", &parts);
    if (parts > 1)
        return err_set(k->e, ERR_INPUT, "%s: key split.count: one of %llu parts; merge them into one file", k->path,
                       (unsigned long long)parts);
    return 0;
}

static int refuse_experts(const struct keys *k)
{
    uint64_t experts = get_int(k, "expert_count", 0, UINT32_MAX, 0);
    if (experts)
        return err_set(k->e, ERR_INPUT, "%s: key %s.expert_count is %llu: mixtures of experts are not supported",
                       k->path, k->architecture, (unsigned long long)experts);
    return k->e->code ? -1 : 0;
}

static int check_value_length(const struct model_config *c, const struct keys *k)
{
    uint64_t length = get_int(k, "attention.value_length", 1, CONFIG_HEAD_DIM_MAX, (uint64_t)c->head_dim);
    if (!k->e->code && length != (uint64_t)c->head_dim)
        err_set(k->e, ERR_INPUT, "%s: key %s.attention.value_length differs from the key length, %d: not supported",
                k->path, k->architecture, c->head_dim);
    return k->e->code ? -1 : 0;
}

static int read_config(struct model_config *c, struct keys *k)
{
    if (refuse_parts(k) || read_family(c, k) || refuse_experts(k))
        return -1;
    read_sizes(c, k);
    if (k->e->code || read_vocabulary(c, k) || model_config_check(c, k->path, k->e))
        return -1;
    choose_family_by_window(c);
    if (read_biases(c, k))
        return -1;
    c->bos_token_id = token_id(k, "tokenizer.ggml.bos_token_id");
    c->eos_token_id = token_id(k, "tokenizer.ggml.eos_token_id");
    return read_rope(c, k) ? -1 : check_value_length(c, k);
}

int model_config_from_gguf(struct model_config *c, const struct gguf *g, const char *path, struct err *e)
{
    struct keys k = {g, path, "", e};
    struct model_config read = {0};
    if (read_config(&read, &k))
        return -1;
    *c = read;
    return 0;
}
