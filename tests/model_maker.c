#include "model_maker.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "fmt/json_fields.h"
#include "fmt/safetensors.h"

void model_maker_config(struct model_config *c, const char *family)
{
    int count;
    const struct model_family *families = model_families(&count);
    *c = (struct model_config){
        .vocab_size = 320,
        .hidden_size = 64,
        .intermediate_size = 96,
        .layers = 2,
        .heads = 4,
        .kv_heads = 2,
        .head_dim = 16,
        .rms_norm_eps = 1e-5,
        .rope_theta = 10000,
        .rope_type = ROPE_DEFAULT,
        .max_positions = 2048,
        .bos_token_id = -1,
        .eos_token_id = 0,
    };
    for (int i = 0; i < count; i++)
        if (!strcmp(families[i].model_type, family))
            c->family = &families[i];
    ASSERT(c->family);
    c->qkv_bias = c->family->qkv_bias;
    c->qk_norm = c->family->qk_norm;
}

/* The tensors of a model, in the order of the file: planned first, then filled in the same walk. */
struct writer {
    const struct model_config *config;
    uint64_t seed;
    enum dtype dtype;
    struct safetensors_plan *plan;
    const char *path;
    int fd, next; /* fd -1: planning */
    struct err *e;
};

static uint16_t to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/* Normal f16 only; what is smaller becomes zero: weights are random anyway. */
static uint16_t to_f16(float x)
{
    int exponent;
    float fraction = frexpf(fabsf(x), &exponent); /* 0.5 <= fraction < 1 */
    uint16_t sign = signbit(x) ? 0x8000 : 0;
    if (x == 0 || exponent < -13)
        return sign;
    int mantissa = (int)lrintf((fraction * 2 - 1) * 1024);
    return (uint16_t)(sign | (((exponent - 1 + 15) << 10) + mantissa));
}

/* A tensor's values depend on seed, name and place alone. */
static void fill(const struct writer *w, const char *name, unsigned char *to, int64_t n, double mean, double deviation)
{
    struct rng r;
    rng_init(&r, w->seed, hash64(name, strlen(name)));
    for (int64_t i = 0; i < n; i++) {
        float x = (float)(mean + deviation * rng_normal(&r));
        uint16_t half = w->dtype == DTYPE_BF16 ? to_bf16(x) : to_f16(x);
        if (w->dtype == DTYPE_F32)
            memcpy(to + 4 * i, &x, 4);
        else
            memcpy(to + 2 * i, &half, 2);
    }
}

static void put_tensor(struct writer *w, const char *name, int64_t rows, int64_t cols, double mean, double deviation)
{
    int64_t shape[2] = {rows, cols}, n = cols ? rows * cols : rows;
    if (w->fd < 0) {
        safetensors_plan_add(w->plan, name, w->dtype, cols ? 2 : 1, shape);
        return;
    }
    size_t size = (size_t)n * (size_t)dtype_block_bytes(w->dtype);
    unsigned char *bytes = mem_alloc(size);
    fill(w, name, bytes, n, mean, deviation);
    file_write_at(w->fd, w->path, bytes, size, safetensors_plan_offset(w->plan, w->next++), w->e);
    mem_free(bytes);
}

static void put_matrix(struct writer *w, const char *name, int64_t rows, int64_t cols)
{
    put_tensor(w, name, rows, cols, 0, 1 / sqrt((double)cols));
}

static void put_gain(struct writer *w, const char *name, int64_t n)
{
    put_tensor(w, name, n, 0, 1, 0.1);
}

/* One linear layer of block i. */
static void put_linear(struct writer *w, int layer, const char *module, int64_t rows, int64_t cols, bool bias)
{
    char *weight = mem_printf("model.layers.%d.%s.weight", layer, module);
    put_matrix(w, weight, rows, cols);
    mem_free(weight);
    if (!bias)
        return;
    char *name = mem_printf("model.layers.%d.%s.bias", layer, module);
    put_tensor(w, name, rows, 0, 0, 0.1);
    mem_free(name);
}

static void put_block_gain(struct writer *w, int layer, const char *module, int64_t n)
{
    char *name = mem_printf("model.layers.%d.%s.weight", layer, module);
    put_gain(w, name, n);
    mem_free(name);
}

static void put_block(struct writer *w, int layer)
{
    const struct model_config *c = w->config;
    int64_t d = c->hidden_size, f = c->intermediate_size;
    int64_t q = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    put_block_gain(w, layer, "input_layernorm", d);
    put_linear(w, layer, "self_attn.q_proj", q, d, c->qkv_bias);
    put_linear(w, layer, "self_attn.k_proj", kv, d, c->qkv_bias);
    put_linear(w, layer, "self_attn.v_proj", kv, d, c->qkv_bias);
    put_linear(w, layer, "self_attn.o_proj", d, q, c->o_bias);
    if (c->qk_norm) {
        put_block_gain(w, layer, "self_attn.q_norm", c->head_dim);
        put_block_gain(w, layer, "self_attn.k_norm", c->head_dim);
    }
    put_block_gain(w, layer, "post_attention_layernorm", d);
    put_linear(w, layer, "mlp.gate_proj", f, d, c->mlp_bias);
    put_linear(w, layer, "mlp.up_proj", f, d, c->mlp_bias);
    put_linear(w, layer, "mlp.down_proj", d, f, c->mlp_bias);
}

static void put_model(struct writer *w)
{
    const struct model_config *c = w->config;
    put_matrix(w, "model.embed_tokens.weight", c->vocab_size, c->hidden_size);
    for (int i = 0; i < c->layers; i++)
        put_block(w, i);
    put_gain(w, "model.norm.weight", c->hidden_size);
    if (!c->tie_word_embeddings)
        put_matrix(w, "lm_head.weight", c->vocab_size, c->hidden_size);
}

static int write_weights(struct writer *w)
{
    struct strbuf header;
    strbuf_init(&header);
    w->plan = safetensors_plan_new();
    safetensors_plan_metadata(w->plan, "format", "pt");
    w->fd = -1;
    put_model(w);
    safetensors_plan_finish(w->plan, &header);
    w->fd = open(w->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->fd < 0) {
        err_errno(w->e, "%s: cannot create", w->path);
    } else {
        file_write_at(w->fd, w->path, header.data, header.size, 0, w->e);
        put_model(w);
        close(w->fd);
    }
    safetensors_plan_free(w->plan);
    strbuf_release(&header);
    return w->e->code ? -1 : 0;
}

static const char *const specials[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
enum { SPECIALS = sizeof specials / sizeof specials[0] };

/* In GPT-2's alphabet U+0120 is the space. Each merge's parts are bytes or results of merges before it. */
static const char *const merges[][2] = {
    {"\u0120", "t"},  {"h", "e"},      {"i", "n"},      {"\u0120", "a"},   {"e", "r"},      {"\u0120t", "he"},
    {"o", "n"},       {"r", "e"},      {"\u0120", "s"}, {"a", "t"},        {"n", "d"},      {"\u0120", "w"},
    {"o", "r"},       {"e", "s"},      {"\u0120", "o"}, {"in", "g"},       {"\u0120", "c"}, {"e", "n"},
    {"\u0120o", "f"}, {"\u0120", "b"}, {"i", "s"},      {"\u0120a", "nd"}, {"a", "l"},      {"\u0120t", "o"},
};
enum { MERGES = sizeof merges / sizeof merges[0] };

/* GPT-2's alphabet: bytes that print stand for themselves, the others, in order, for U+0100 and up. */
static void put_byte(struct strbuf *out, int byte)
{
    int code = byte, hidden = 0;
    for (int b = 0; b <= byte; b++) {
        bool prints = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        code = prints ? b : 256 + hidden++;
    }
    char text[3] = {(char)code};
    size_t n = 1;
    if (code >= 0x80) {
        text[0] = (char)(0xc0 | code >> 6);
        text[1] = (char)(0x80 | (code & 0x3f));
        n = 2;
    }
    json_put_text(out, text, n);
}

static void put_vocabulary(struct strbuf *out, int merge_count)
{
    for (int i = 0; i < SPECIALS; i++)
        strbuf_printf(out, "%s\"%s\": %d", i ? ", " : "", specials[i], i);
    for (int b = 0; b < 256; b++) {
        strbuf_adds(out, ", ");
        put_byte(out, b);
        strbuf_printf(out, ": %d", SPECIALS + b);
    }
    for (int i = 0; i < merge_count; i++)
        strbuf_printf(out, ", \"%s%s\": %d", merges[i][0], merges[i][1], MODEL_MAKER_VOCAB_MIN + i);
}

static void put_tokenizer(struct strbuf *out, int merge_count)
{
    strbuf_adds(out, "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, \"added_tokens\": [");
    for (int i = 0; i < SPECIALS; i++)
        strbuf_printf(out,
                      "%s{\"id\": %d, \"content\": \"%s\", \"single_word\": false, \"lstrip\": false, "
                      "\"rstrip\": false, \"normalized\": false, \"special\": true}",
                      i ? ", " : "", i, specials[i]);
    strbuf_adds(out,
                "],\n\"normalizer\": null,\n"
                "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
                "\"use_regex\": true},\n\"post_processor\": null,\n"
                "\"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
                "\"use_regex\": true},\n"
                "\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, "
                "\"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": false, "
                "\"byte_fallback\": false, \"ignore_merges\": false,\n\"vocab\": {");
    put_vocabulary(out, merge_count);
    strbuf_adds(out, "},\n\"merges\": [");
    for (int i = 0; i < merge_count; i++)
        strbuf_printf(out, "%s[\"%s\", \"%s\"]", i ? ", " : "", merges[i][0], merges[i][1]);
    strbuf_adds(out, "]}}\n");
}

static int write_text(const char *directory, const char *name, const char *text, size_t size, struct err *e)
{
    char *path = file_join(directory, name);
    int rc = file_write(path, text, size, e);
    mem_free(path);
    return rc;
}

static int write_tokenizer(const char *directory, const struct model_config *c, struct err *e)
{
    static const char settings[] =
        "{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"eos_token\": \"<|endoftext|>\", "
        "\"add_bos_token\": false, \"clean_up_tokenization_spaces\": false}\n";
    int64_t room = c->vocab_size - MODEL_MAKER_VOCAB_MIN;
    struct strbuf text;
    strbuf_init(&text);
    put_tokenizer(&text, room < MERGES ? (int)room : MERGES);
    int rc = write_text(directory, "tokenizer.json", text.data, text.size, e);
    if (!rc)
        rc = write_text(directory, "tokenizer_config.json", settings, sizeof settings - 1, e);
    strbuf_release(&text);
    return rc;
}

static int write_config(const char *directory, const struct model_config *c, enum dtype dtype, struct err *e)
{
    struct strbuf text;
    strbuf_init(&text);
    model_config_to_json(c, dtype == DTYPE_F32 ? "float32" : dtype == DTYPE_BF16 ? "bfloat16" : "float16", &text);
    int rc = write_text(directory, "config.json", text.data, text.size, e);
    strbuf_release(&text);
    return rc;
}

int model_maker_write(const char *directory, const struct model_config *c, uint64_t seed, enum dtype dtype,
                      struct err *e)
{
    if (c->vocab_size < MODEL_MAKER_VOCAB_MIN)
        return err_set(e, ERR_USAGE, "vocabulary %lld: the tokenizer needs at least %d", (long long)c->vocab_size,
                       MODEL_MAKER_VOCAB_MIN);
    if (dtype != DTYPE_F32 && dtype != DTYPE_BF16 && dtype != DTYPE_F16)
        return err_set(e, ERR_USAGE, "dtype %s: expected F32, BF16 or F16", dtype_name(dtype));
    if (file_make_directories(directory, e) || write_config(directory, c, dtype, e) || write_tokenizer(directory, c, e))
        return -1;
    char *path = file_join(directory, "model.safetensors");
    struct writer w = {.config = c, .seed = seed, .dtype = dtype, .path = path, .e = e};
    int rc = write_weights(&w);
    mem_free(path);
    return rc;
}

int model_maker_spoil_file(const char *path, const char *tensor, struct err *e)
{
    static const unsigned char nan[4] = {0x00, 0x7e, 0xc0, 0x7f}; /* its upper half is NaN as bf16, its lower as f16 */
    struct safetensors *file = NULL;
    int rc = safetensors_open(&file, path, e), fd = -1;
    const struct tensor *t = rc ? NULL : safetensors_find(file, tensor);
    if (!rc && !t)
        rc = err_set(e, ERR_USAGE, "%s: there is no tensor %s", path, tensor);
    if (!rc && (fd = open(path, O_WRONLY | O_CLOEXEC)) < 0)
        rc = err_errno(e, "%s: cannot open", path);
    if (!rc) {
        size_t size = (size_t)dtype_block_bytes(t->dtype);
        uint64_t place = t->offset + (uint64_t)(t->elements / 2) * size;
        rc = file_write_at(fd, path, t->dtype == DTYPE_BF16 ? nan + 2 : nan, size, place, e);
    }
    if (fd >= 0)
        close(fd);
    safetensors_close(file);
    return rc;
}

int model_maker_spoil(const char *directory, const char *tensor, struct err *e)
{
    char *path = file_join(directory, "model.safetensors");
    int rc = model_maker_spoil_file(path, tensor, e);
    mem_free(path);
    return rc;
}
