/* The family table, and what is said of a config: as a line and as a config.json. */
#include "fmt/config.h"
#include "fmt/config_internal.h"

#include "base/assert.h"
#include "fmt/json_fields.h"

static const struct model_family families[] = {
    {
        .model_type = "llama",
        .architecture = "LlamaForCausalLM",
        .gguf_architecture = "llama",
        .gguf_permuted = true,
        .bias_keys = true,
        .mlp_bias_key = true,
        .window = WINDOW_NEVER,
    },
    {
        .model_type = "mistral",
        .architecture = "MistralForCausalLM",
        .gguf_architecture = "llama", /* converters write Mistral as llama: the same graph */
        .gguf_permuted = true,
        .window = WINDOW_ALWAYS,
    },
    {
        .model_type = "qwen2",
        .architecture = "Qwen2ForCausalLM",
        .gguf_architecture = "qwen2",
        .qkv_bias = true,
        .window = WINDOW_SWITCHED,
    },
    {
        .model_type = "qwen3",
        .architecture = "Qwen3ForCausalLM",
        .gguf_architecture = "qwen3",
        .qk_norm = true,
        .bias_keys = true,
        .window = WINDOW_SWITCHED,
    },
};
enum { FAMILIES = sizeof families / sizeof families[0] };

const struct model_family *model_families(int *count)
{
    *count = FAMILIES;
    return families;
}

int model_config_check(struct model_config *c, const char *path, struct err *e)
{
    if (c->heads % c->kv_heads)
        return err_set(e, ERR_INPUT, "%s: %d query heads cannot share %d key-value heads evenly", path, c->heads,
                       c->kv_heads);
    if (!c->head_dim) {
        if (c->hidden_size % c->heads)
            return err_set(e, ERR_INPUT, "%s: no head size is given, and hidden size %lld is no multiple of %d heads",
                           path, (long long)c->hidden_size, c->heads);
        if (c->hidden_size / c->heads > CONFIG_HEAD_DIM_MAX)
            return err_set(e, ERR_INPUT, "%s: heads of %lld elements, at most %d are supported", path,
                           (long long)(c->hidden_size / c->heads), CONFIG_HEAD_DIM_MAX);
        c->head_dim = (int)(c->hidden_size / c->heads);
    }
    if (c->head_dim % 2)
        return err_set(e, ERR_INPUT, "%s: heads of %d elements: rotary positions need an even number", path,
                       c->head_dim);
    return 0;
}

void model_config_describe(const struct model_config *c, struct strbuf *out)
{
    strbuf_printf(out, "%s, %d layers, hidden %lld, %d heads (%d kv) of %d, mlp %lld, vocabulary %lld, %s",
                  c->family->model_type, c->layers, (long long)c->hidden_size, c->heads, c->kv_heads, c->head_dim,
                  (long long)c->intermediate_size, (long long)c->vocab_size,
                  c->tie_word_embeddings ? "tied" : "not tied");
}

static void put_text(struct strbuf *out, const char *key, const char *text)
{
    strbuf_printf(out, ",\n  \"%s\": \"%s\"", key, text);
}

static void put_int(struct strbuf *out, const char *key, int64_t value)
{
    strbuf_printf(out, ",\n  \"%s\": %lld", key, (long long)value);
}

/* 0 and -1 stand for "none" in some fields. */
static void put_int_or_null(struct strbuf *out, const char *key, int64_t value, int64_t none)
{
    if (value == none)
        strbuf_printf(out, ",\n  \"%s\": null", key);
    else
        put_int(out, key, value);
}

static void put_bool(struct strbuf *out, const char *key, bool value)
{
    strbuf_printf(out, ",\n  \"%s\": %s", key, value ? "true" : "false");
}

static void put_number(struct strbuf *out, const char *key, double value)
{
    strbuf_printf(out, ",\n  \"%s\": ", key);
    json_put_number(out, value);
}

/* The spelling of transformers 4, which 5 reads as well; 4 does not read that of 5. */
static void put_rope(struct strbuf *out, const struct model_config *c)
{
    put_number(out, "rope_theta", c->rope_theta);
    switch (c->rope_type) {
    case ROPE_DEFAULT:
        strbuf_adds(out, ",\n  \"rope_scaling\": null");
        return;
    case ROPE_LINEAR:
        strbuf_adds(out, ",\n  \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": ");
        json_put_number(out, c->rope_factor);
        break;
    case ROPE_LLAMA3:
        strbuf_adds(out, ",\n  \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": ");
        json_put_number(out, c->rope_factor);
        strbuf_adds(out, ", \"low_freq_factor\": ");
        json_put_number(out, c->rope_low_freq_factor);
        strbuf_adds(out, ", \"high_freq_factor\": ");
        json_put_number(out, c->rope_high_freq_factor);
        strbuf_printf(out, ", \"original_max_position_embeddings\": %lld", (long long)c->rope_original_max_positions);
        break;
    }
    strbuf_addc(out, '}');
}

static void put_window(struct strbuf *out, const struct model_config *c)
{
    if (c->family->window == WINDOW_NEVER)
        return;
    put_int_or_null(out, "sliding_window", c->sliding_window, 0);
    if (c->family->window == WINDOW_SWITCHED) {
        put_bool(out, "use_sliding_window", c->sliding_window != 0);
        put_int(out, "max_window_layers", c->sliding_window ? 0 : c->layers);
    }
}

void model_config_to_json(const struct model_config *c, const char *dtype, struct strbuf *out)
{
    strbuf_printf(out, "{\n  \"architectures\": [\"%s\"]", c->family->architecture);
    put_text(out, "model_type", c->family->model_type);
    put_text(out, "torch_dtype", dtype);
    put_int(out, "vocab_size", c->vocab_size);
    put_int(out, "hidden_size", c->hidden_size);
    put_int(out, "intermediate_size", c->intermediate_size);
    put_int(out, "num_hidden_layers", c->layers);
    put_int(out, "num_attention_heads", c->heads);
    put_int(out, "num_key_value_heads", c->kv_heads);
    put_int(out, "head_dim", c->head_dim);
    put_text(out, "hidden_act", "silu");
    put_int(out, "max_position_embeddings", c->max_positions);
    put_number(out, "rms_norm_eps", c->rms_norm_eps);
    put_rope(out, c);
    put_window(out, c);
    if (c->family->bias_keys)
        put_bool(out, "attention_bias", c->qkv_bias);
    if (c->family->mlp_bias_key)
        put_bool(out, "mlp_bias", c->mlp_bias);
    put_bool(out, "tie_word_embeddings", c->tie_word_embeddings);
    put_int_or_null(out, "bos_token_id", c->bos_token_id, -1);
    put_int_or_null(out, "eos_token_id", c->eos_token_id, -1);
    strbuf_adds(out, "\n}\n");
}
