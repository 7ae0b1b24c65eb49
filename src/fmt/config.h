/* What a model is, apart from its weights: the hyperparameters of config.json or of GGUF metadata, one family table.
 *
 * A family is a row of data (names, which biases, which norms), not a copy of code. What a config asks for and retort
 * does not have (a rope type, a sliding window shorter than the sequences, an activation, a model type) is refused by
 * name. */
#ifndef RETORT_FMT_CONFIG_H
#define RETORT_FMT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"

struct gguf;

/* Whether models of a family attend through a sliding window. */
enum window_rule {
    WINDOW_NEVER,   /* the key is not the family's: transformers does not read it */
    WINDOW_ALWAYS,  /* sliding_window, unless it is null */
    WINDOW_SWITCHED /* only with use_sliding_window: true */
};

/* A row of the family table. */
struct model_family {
    const char *model_type;        /* config.json: "llama" */
    const char *architecture;      /* config.json: "LlamaForCausalLM" */
    const char *gguf_architecture; /* general.architecture */
    bool qkv_bias;                 /* q, k, v have a bias unless the config says otherwise (Qwen2) */
    bool qk_norm;                  /* RMS norm of each q and k head (Qwen3) */
    bool gguf_permuted;            /* GGUF stores q and k rows for interleaved rotary pairs */
    bool bias_keys;                /* attention_bias is the family's key: biases of q, k, v and o */
    bool mlp_bias_key;             /* mlp_bias is the family's key */
    enum window_rule window;
};
const struct model_family *model_families(int *count);

enum rope_type { ROPE_DEFAULT, ROPE_LINEAR, ROPE_LLAMA3 };

struct model_config {
    const struct model_family *family;
    int64_t vocab_size, hidden_size, intermediate_size;
    int layers, heads, kv_heads, head_dim;
    double rms_norm_eps, rope_theta;
    enum rope_type rope_type;
    double rope_factor, rope_low_freq_factor, rope_high_freq_factor, rope_original_max_positions;
    int64_t max_positions;
    int64_t sliding_window; /* 0: none. The caller refuses a shorter one than its sequences */
    bool qkv_bias, o_bias, mlp_bias, qk_norm, tie_word_embeddings;
    int64_t bos_token_id, eos_token_id; /* -1: not given. Of several eos ids the first */
};

/* From the text of a config.json (path stands in errors) or from GGUF metadata. Sizes are bounded: nothing absurd
 * passes (vocabulary <= 2^24, hidden <= 2^17, layers <= 1024, heads <= 1024, head_dim <= 256 and even, ...). */
int model_config_from_json(struct model_config *c, const char *text, size_t size, const char *path, struct err *e);
int model_config_from_gguf(struct model_config *c, const struct gguf *g, const char *path, struct err *e);

/* A config.json that transformers loads; dtype "float32", "bfloat16" or "float16". */
void model_config_to_json(const struct model_config *c, const char *dtype, struct strbuf *out);

/* One line for `inspect` and the log: "llama, 30 layers, hidden 576, 9 heads (3 kv), vocabulary 49152, tied". */
void model_config_describe(const struct model_config *c, struct strbuf *out);

#endif
