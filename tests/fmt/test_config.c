/* config.json and GGUF metadata into a model_config: what transformers 4 and 5 write is read alike, what retort does
 * not have is refused by name, and what we write reads back the same. */
#include "test.h"

#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "files.h"
#include "fmt/config.h"
#include "fmt/gguf.h"

static struct model_config read_file(const char *name)
{
    struct model_config c;
    struct err e = {0};
    size_t size;
    char *text = test_file_read(name, &size);
    assert_done(model_config_from_json(&c, text, size, name, &e), &e);
    mem_free(text);
    return c;
}

static void assert_same(const struct model_config *a, const struct model_config *b)
{
    assert_ptr_equal(a->family, b->family);
#define SAME(field) assert_true(a->field == b->field)
    SAME(vocab_size), SAME(hidden_size), SAME(intermediate_size), SAME(layers), SAME(heads), SAME(kv_heads);
    SAME(head_dim), SAME(rms_norm_eps), SAME(rope_theta), SAME(rope_type), SAME(rope_factor), SAME(max_positions);
    SAME(rope_low_freq_factor), SAME(rope_high_freq_factor), SAME(rope_original_max_positions), SAME(sliding_window);
    SAME(qkv_bias), SAME(o_bias), SAME(mlp_bias), SAME(qk_norm), SAME(tie_word_embeddings);
    SAME(bos_token_id), SAME(eos_token_id);
#undef SAME
}

/* The base of the cases below. */
static const char llama[] =
    "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 320, \"hidden_size\": 64,"
    " \"intermediate_size\": 96, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"num_key_value_heads\": 2,"
    " \"max_position_embeddings\": 2048, \"rms_norm_eps\": 1e-05}";

/* Reads the base with the keys of patch laid over it. */
static int read_patched(struct model_config *c, const char *patch, struct err *e)
{
    json_t *base = json_loads(llama, 0, NULL), *over = json_loads(patch, 0, NULL);
    assert_non_null(over);
    json_object_update(base, over);
    char *text = json_dumps(base, 0);
    int rc = model_config_from_json(c, text, strlen(text), "m/config.json", e);
    mem_free(text);
    json_decref(base);
    json_decref(over);
    return rc;
}

static void both_spellings_give_the_same(void **state)
{
    (void)state;
    static const char *const names[][2] = {{"pass_llama_v4.json", "pass_llama_v5.json"},
                                           {"pass_mistral_v4.json", "pass_mistral_v5.json"},
                                           {"pass_qwen2_v4.json", "pass_qwen2_v5.json"},
                                           {"pass_qwen3_v4.json", "pass_qwen3_v5.json"}};
    for (int i = 0; i < 4; i++) {
        struct model_config four = read_file(names[i][0]), five = read_file(names[i][1]);
        assert_same(&four, &five);
    }
}

/* Expected values are those that tools/reference/fmt_files.py gives to transformers. */
static void families_are_read(void **state)
{
    (void)state;
    struct model_config c = read_file("pass_llama_v5.json");
    assert_string_equal(c.family->model_type, "llama");
    assert_true(c.vocab_size == 320 && c.hidden_size == 64 && c.intermediate_size == 96 && c.layers == 2);
    assert_true(c.heads == 4 && c.kv_heads == 2 && c.head_dim == 16 && c.rms_norm_eps == 1e-6);
    assert_true(c.rope_type == ROPE_LLAMA3 && c.rope_theta == 500000 && c.rope_factor == 8);
    assert_true(c.rope_low_freq_factor == 1 && c.rope_high_freq_factor == 4 && c.rope_original_max_positions == 8192);
    assert_true(c.tie_word_embeddings && !c.qkv_bias && !c.qk_norm && c.bos_token_id == 1 && c.eos_token_id == 2);
    c = read_file("pass_mistral_v5.json");
    assert_true(c.sliding_window == 1024 && c.head_dim == 32 && !c.qkv_bias && c.rope_type == ROPE_DEFAULT);
    c = read_file("pass_qwen2_v5.json");
    assert_true(c.qkv_bias && !c.o_bias && !c.qk_norm && c.sliding_window == 0 && c.tie_word_embeddings);
    c = read_file("pass_qwen3_v5.json");
    assert_true(c.qk_norm && !c.qkv_bias && c.rope_type == ROPE_LINEAR && c.rope_factor == 2 && c.rope_theta == 1e6);
}

static void variants_are_read(void **state)
{
    (void)state;
    struct model_config c;
    struct err e = {0};
    assert_done(read_patched(&c, "{}", &e), &e);
    assert_true(c.head_dim == 16 && c.rope_theta == 10000 && c.bos_token_id == -1 && c.eos_token_id == -1);
    assert_done(read_patched(&c, "{\"num_key_value_heads\": null, \"head_dim\": null}", &e), &e);
    assert_true(c.kv_heads == 4 && c.head_dim == 16);
    assert_done(read_patched(&c, "{\"eos_token_id\": [7, 8], \"bos_token_id\": 3}", &e), &e);
    assert_true(c.eos_token_id == 7 && c.bos_token_id == 3);
    assert_done(read_patched(&c, "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}, \"rope_theta\": 5e5}", &e),
                &e);
    assert_true(c.rope_type == ROPE_LINEAR && c.rope_factor == 4 && c.rope_theta == 5e5);
    assert_done(read_patched(&c, "{\"attention_bias\": true, \"mlp_bias\": true}", &e), &e);
    assert_true(c.qkv_bias && c.o_bias && c.mlp_bias);
    assert_done(read_patched(&c, "{\"sliding_window\": 512}", &e), &e);
    assert_true(c.sliding_window == 0); /* not a key of llama */
    assert_done(read_patched(&c, "{\"hidden_size\": 72, \"num_attention_heads\": 9, \"num_key_value_heads\": 3}", &e),
                &e);
    assert_true(c.head_dim == 8);
}

static void windows_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *patch;
        int64_t window;
    } cases[] = {
        {"\"model_type\": \"mistral\"", 4096},
        {"\"model_type\": \"mistral\", \"sliding_window\": null", 0},
        {"\"model_type\": \"mistral\", \"sliding_window\": 100", 100},
        {"\"model_type\": \"qwen2\", \"sliding_window\": 100", 0},
        {"\"model_type\": \"qwen2\", \"sliding_window\": 100, \"use_sliding_window\": false", 0},
        {"\"model_type\": \"qwen2\", \"sliding_window\": 100, \"use_sliding_window\": true", 0}, /* from layer 28 on */
        {"\"model_type\": \"qwen3\", \"sliding_window\": 100, \"use_sliding_window\": true, \"max_window_layers\": 0",
         100},
        {"\"model_type\": \"qwen3\", \"sliding_window\": 100, \"use_sliding_window\": true, "
         "\"layer_types\": [\"sliding_attention\", \"sliding_attention\"]",
         100},
        {"\"model_type\": \"qwen3\", \"sliding_window\": 100, \"use_sliding_window\": true, "
         "\"layer_types\": [\"full_attention\", \"full_attention\"]",
         0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct model_config c;
        struct err e = {0};
        char *patch = mem_printf("{\"architectures\": null, %s}", cases[i].patch);
        assert_done(read_patched(&c, patch, &e), &e);
        if (c.sliding_window != cases[i].window)
            fail_msg("%s: window %lld", patch, (long long)c.sliding_window);
        mem_free(patch);
    }
}

static void what_is_not_there_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *patch, *expected;
    } cases[] = {
        {"{\"model_type\": \"gemma\"}", "model_type is \"gemma\"; retort knows llama, mistral, qwen2, qwen3"},
        {"{\"model_type\": null}", "model_type is null; expected a string"},
        {"{\"architectures\": [\"LlamaForSequenceClassification\"]}",
         "architectures is [\"LlamaForSequenceClassification\"]"},
        {"{\"hidden_act\": \"gelu\"}", "hidden_act is \"gelu\"; only silu"},
        {"{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4}}",
         "rope_scaling.rope_type is \"yarn\"; retort has"},
        {"{\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 4}}", "rope_scaling.type is \"dynamic\""},
        {"{\"rope_parameters\": {\"rope_type\": \"longrope\"}}", "rope_parameters.rope_type is \"longrope\""},
        {"{\"rope_scaling\": {\"type\": \"linear\"}}", "rope_scaling.factor is missing; expected a number"},
        {"{\"rope_scaling\": {\"type\": \"linear\", \"factor\": \"2\"}}", "rope_scaling.factor is \"2\""},
        {"{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, \"high_freq_factor\": "
         "4}}",
         "rope_scaling.high_freq_factor is 4; expected more than low_freq_factor"},
        {"{\"rope_scaling\": \"linear\"}", "rope_scaling is \"linear\"; expected an object or null"},
        {"{\"rope_parameters\": 3}", "rope_parameters is 3; expected an object or null"},
        {"{\"partial_rotary_factor\": 0.5}", "partial_rotary_factor is 0.5"},
        {"{\"rope_parameters\": {\"rope_type\": \"default\", \"partial_rotary_factor\": 0.25}}",
         "rope_parameters.partial_rotary_factor is 0.25"},
        {"{\"quantization_config\": {\"quant_method\": \"gptq\"}}",
         "quantization_config is {\"quant_method\":\"gptq\"}"},
        {"{\"vocab_size\": 16777217}", "vocab_size is 16777217; expected an integer from 1 to 16777216"},
        {"{\"vocab_size\": 0}", "vocab_size is 0"},
        {"{\"vocab_size\": \"320\"}", "vocab_size is \"320\""},
        {"{\"vocab_size\": 320.0}", "vocab_size is 320.0"},
        {"{\"hidden_size\": 131073}", "hidden_size is 131073"},
        {"{\"hidden_size\": null}", "hidden_size is null"},
        {"{\"num_hidden_layers\": 1025}", "num_hidden_layers is 1025"},
        {"{\"num_attention_heads\": -4}", "num_attention_heads is -4"},
        {"{\"num_key_value_heads\": 3}", "4 query heads cannot share 3 key-value heads evenly"},
        {"{\"num_key_value_heads\": 8}", "4 query heads cannot share 8"},
        {"{\"head_dim\": 258}", "head_dim is 258"},
        {"{\"head_dim\": 15}", "heads of 15 elements"},
        {"{\"hidden_size\": 66}", "hidden size 66 is no multiple of 4 heads"},
        {"{\"hidden_size\": 4096}", "heads of 1024 elements, at most 256"},
        {"{\"rms_norm_eps\": 0}", "rms_norm_eps is 0"},
        {"{\"tie_word_embeddings\": 1}", "tie_word_embeddings is 1; expected true or false"},
        {"{\"eos_token_id\": -2}", "eos_token_id is -2"},
        {"{\"bos_token_id\": \"x\"}", "bos_token_id is \"x\""},
        {"{\"model_type\": \"mistral\", \"architectures\": null, \"attention_bias\": true}", "attention_bias is true"},
        {"{\"model_type\": \"qwen2\", \"architectures\": null, \"attention_bias\": false}", "attention_bias is false"},
        {"{\"model_type\": \"qwen3\", \"architectures\": null, \"mlp_bias\": true}", "mlp_bias is true"},
        {"{\"model_type\": \"qwen2\", \"architectures\": null, \"use_sliding_window\": true, \"sliding_window\": 9, "
         "\"max_window_layers\": 1}",
         "a window on 1 of 2 layers is not supported"},
        {"{\"model_type\": \"qwen2\", \"architectures\": null, \"use_sliding_window\": true, \"sliding_window\": 9, "
         "\"layer_types\": [\"full_attention\", \"linear_attention\"]}",
         "layer_types"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        struct model_config c = {.heads = 77};
        int rc = read_patched(&c, cases[i].patch, &e);
        if (rc != -1 || !strstr(e.text, cases[i].expected) || !strstr(e.text, "m/config.json: "))
            fail_msg("%s: rc %d, \"%s\", expected \"%s\"", cases[i].patch, rc, e.text, cases[i].expected);
        assert_int_equal(e.code, ERR_INPUT);
        assert_int_equal(c.heads, 77); /* untouched on failure */
        assert_null(strchr(e.text, '\n'));
    }
}

static void what_is_no_json_is_refused_with_its_place(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\n\"a\": 1,\n}", "m/config.json:3:"}, {"", "m/config.json:1:"},
        {"[1]", "expected a JSON object"},       {"{\"a\": 1, \"a\": 2}", "duplicate"},
        {"{\"a\": \"\x01\"}", "not valid JSON"}, {"{} x", "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        struct model_config c;
        assert_int_equal(model_config_from_json(&c, cases[i][0], strlen(cases[i][0]), "m/config.json", &e), -1);
        if (!strstr(e.text, cases[i][1]) || strchr(e.text, '\n'))
            fail_msg("\"%s\", expected \"%s\"", e.text, cases[i][1]);
    }
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    static const char *const names[] = {"pass_llama_v4.json", "pass_mistral_v4.json", "pass_qwen2_v4.json",
                                        "pass_qwen3_v4.json"};
    for (int i = 0; i < 4; i++) {
        struct model_config c = read_file(names[i]), again;
        c.rms_norm_eps = 0.1 + 0.2; /* no short decimal */
        if (c.family->window == WINDOW_SWITCHED)
            c.sliding_window = 77;
        struct strbuf text;
        struct err e = {0};
        strbuf_init(&text);
        model_config_to_json(&c, "bfloat16", &text);
        assert_non_null(strstr(text.data, "\"torch_dtype\": \"bfloat16\""));
        assert_done(model_config_from_json(&again, text.data, text.size, "again", &e), &e);
        assert_same(&c, &again);
        strbuf_release(&text);
    }
}

static void description_is_one_line(void **state)
{
    (void)state;
    struct model_config c = read_file("pass_llama_v5.json");
    struct strbuf text;
    strbuf_init(&text);
    model_config_describe(&c, &text);
    assert_string_equal(text.data, "llama, 2 layers, hidden 64, 4 heads (2 kv) of 16, mlp 96, vocabulary 320, tied");
    strbuf_release(&text);
}

static int read_gguf(struct model_config *c, const char *bytes, size_t size, struct err *e)
{
    struct gguf *g = NULL;
    struct err parse = {0};
    assert_done(gguf_parse(&g, bytes, size, "m.gguf", &parse), &parse);
    int rc = model_config_from_gguf(c, g, "m.gguf", e);
    gguf_close(g);
    return rc;
}

static struct model_config read_gguf_file(const char *name)
{
    struct model_config c;
    struct err e = {0};
    size_t size;
    char *bytes = test_file_read(name, &size);
    assert_done(read_gguf(&c, bytes, size, &e), &e);
    mem_free(bytes);
    return c;
}

static void gguf_metadata_are_read(void **state)
{
    (void)state;
    struct model_config c = read_gguf_file("pass_llama3.gguf");
    assert_string_equal(c.family->model_type, "llama");
    assert_true(c.vocab_size == 20 && c.hidden_size == 64 && c.intermediate_size == 96 && c.layers == 2);
    assert_true(c.heads == 4 && c.kv_heads == 2 && c.head_dim == 32 && c.max_positions == 2048);
    assert_true(c.rms_norm_eps == 1e-5 && c.rope_theta == 500000); /* the decimal, not the f32 next to it */
    assert_true(c.rope_type == ROPE_LLAMA3 && c.rope_factor == 8 && c.rope_original_max_positions == 8192);
    assert_true(!c.tie_word_embeddings && !c.qkv_bias && c.bos_token_id == 1 && c.eos_token_id == 2);
    c = read_gguf_file("pass_mistral.gguf");
    assert_string_equal(c.family->model_type, "mistral");
    assert_true(c.sliding_window == 1024 && c.rope_type == ROPE_DEFAULT);
    c = read_gguf_file("pass_qwen2.gguf");
    assert_string_equal(c.family->model_type, "qwen2");
    assert_true(c.qkv_bias && !c.o_bias && c.tie_word_embeddings);
}

/* Replaces one text of a GGUF by another of the same length, or so many bytes after a text by others. */
static void gguf_case(const char *file, const char *find, size_t skip, const void *with, size_t n, const char *expected)
{
    struct err e = {0};
    struct model_config c;
    size_t size;
    char *bytes = test_file_read(file, &size);
    char *at = memmem(bytes, size, find, strlen(find));
    assert_non_null(at);
    memcpy(at + strlen(find) + skip, with, n);
    int rc = read_gguf(&c, bytes, size, &e);
    if (rc != -1 || !strstr(e.text, expected))
        fail_msg("%s: rc %d, \"%s\", expected \"%s\"", find, rc, e.text, expected);
    mem_free(bytes);
}

static void gguf_that_is_something_else_is_refused(void **state)
{
    (void)state;
    enum { TYPE = 4, LENGTH = 8 };
    const uint32_t zero = 0, huge = UINT32_MAX, odd = 30, kind_f32 = 6;
    const char *llama3 = "pass_llama3.gguf";
    gguf_case(llama3, "general.architecture", TYPE + LENGTH, "gemma", 5,
              "general.architecture is \"gemma\"; retort knows llama qwen2 qwen3");
    gguf_case(llama3, "general.architecture", TYPE + LENGTH, "a\nb\"c", 5, "is \"a\\u000ab\\\"c\"");
    gguf_case(llama3, "llama.block_count", TYPE, &huge, 4, "llama.block_count: expected one integer from 1 to 1024");
    gguf_case(llama3, "llama.block_count", TYPE, &zero, 4, "llama.block_count");
    gguf_case(llama3, "llama.block_count", 0, &kind_f32, 4, "llama.block_count");
    gguf_case(llama3, "llama.embedding_length", TYPE, &huge, 4, "llama.embedding_length");
    gguf_case(llama3, "llama.attention.head_count", TYPE, &huge, 4, "llama.attention.head_count: expected");
    gguf_case(llama3, "llama.attention.key_lengt", 0, "x", 1, "rope.dimension_count is 32 of heads of 16");
    gguf_case(llama3, "llama.rope.dimension_count", TYPE, &odd, 4, "llama.rope.dimension_count is 30 of heads of 32");
    gguf_case(llama3, "llama.attention.layer_norm_rms_epsilon", TYPE, &zero, 4,
              "layer_norm_rms_epsilon: expected a number");
    gguf_case(llama3, "llama.rope.freq_base", TYPE, &huge, 4, "llama.rope.freq_base: expected a number"); /* NaN */
    gguf_case(llama3, "token_embd.weigh", 0, "x", 1, "tensor token_embd.weight is missing");
    gguf_case("pass_qwen2.gguf", "qwen2.attention.value_length", TYPE, &odd, 4, "value_length differs");
}

static void put_entry_head(struct strbuf *f, const char *key, uint32_t kind)
{
    uint64_t size = strlen(key);
    strbuf_add(f, &size, sizeof size);
    strbuf_adds(f, key);
    strbuf_add(f, &kind, sizeof kind);
}

/* The GGUF with one key more. A second one fills up to 32 bytes, so that the data behind keep their alignment. */
static void put_with_key(struct strbuf *out, const char *file, const char *key, uint32_t kind, const void *value,
                         size_t n)
{
    enum { KEY_COUNT = 16, HEADER = 24, ALIGNMENT = 32, STRING = 8 };
    size_t size;
    char *bytes = test_file_read(file, &size);
    strbuf_add(out, bytes, HEADER);
    put_entry_head(out, key, kind);
    strbuf_add(out, value, n);
    put_entry_head(out, "filler", STRING);
    uint64_t fill = ALIGNMENT - (out->size + sizeof fill - HEADER) % ALIGNMENT, keys;
    strbuf_add(out, &fill, sizeof fill);
    strbuf_add(out, "................................", fill);
    strbuf_add(out, bytes + HEADER, size - HEADER);
    memcpy(&keys, bytes + KEY_COUNT, sizeof keys);
    keys += 2;
    memcpy(out->data + KEY_COUNT, &keys, sizeof keys);
    mem_free(bytes);
}

static void gguf_that_asks_for_more_is_refused(void **state)
{
    (void)state;
    enum { U32 = 4, F32 = 6, STRING = 8 };
    static const struct {
        const char *file, *key;
        uint32_t kind;
        const char *value;
        size_t n;
        const char *expected;
    } cases[] = {
        {"pass_llama3.gguf", "llama.expert_count", U32, "\10\0\0", 4, "llama.expert_count is 8: mixtures of experts"},
        {"pass_llama3.gguf", "split.count", U32, "\3\0\0", 4, "split.count: one of 3 parts"},
        {"pass_qwen2.gguf", "qwen2.rope.scaling.type", STRING, "\4\0\0\0\0\0\0\0yarn", 12,
         "qwen2.rope.scaling.type is \"yarn\"; retort has none and linear"},
        {"pass_qwen2.gguf", "qwen2.rope.scaling.type", STRING, "\6\0\0\0\0\0\0\0linear", 14,
         "qwen2.rope.scaling.factor: expected a number"},
        {"pass_llama3.gguf", "llama.rope.scale_linear", F32, "\0\0\0\x40", 4, /* 2.0 */
         "tensor rope_freqs.weight: not supported together with linear scaling"},
        {"pass_qwen2.gguf", "qwen2.rope.scale_linear", F32, "\0\0\0\0", 4,
         "qwen2.rope.scale_linear: expected a number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        struct model_config c;
        struct strbuf f;
        strbuf_init(&f);
        put_with_key(&f, cases[i].file, cases[i].key, cases[i].kind, cases[i].value, cases[i].n);
        int rc = read_gguf(&c, f.data, f.size, &e);
        if (rc != -1 || !strstr(e.text, cases[i].expected))
            fail_msg("%s: rc %d, \"%s\", expected \"%s\"", cases[i].key, rc, e.text, cases[i].expected);
        strbuf_release(&f);
    }
}

static void gguf_linear_scaling_is_read(void **state)
{
    (void)state;
    struct err e = {0};
    struct model_config c;
    struct strbuf f;
    strbuf_init(&f);
    const float factor = 2.5f;
    put_with_key(&f, "pass_qwen2.gguf", "qwen2.rope.scale_linear", 6, &factor, sizeof factor);
    assert_done(read_gguf(&c, f.data, f.size, &e), &e);
    assert_true(c.rope_type == ROPE_LINEAR && c.rope_factor == 2.5);
    strbuf_release(&f);
}

/* Renames the bias of q in pass_biases.gguf, which has those of q and o. */
static void odd_sets_of_biases_are_refused(void **state)
{
    (void)state;
    struct model_config c = read_gguf_file("pass_biases.gguf");
    assert_true(c.qkv_bias && c.o_bias && !c.mlp_bias);
    gguf_case("pass_biases.gguf", "blk.0.attn_q.bia", 0, "x", 1,
              "block 0 has biases that models of type llama do not have");
}

static void other_rope_tables_are_refused(void **state)
{
    (void)state;
    struct err e = {0};
    struct model_config c;
    size_t size;
    char *bytes = test_file_read("pass_llama3.gguf", &size);
    struct gguf *g = NULL;
    assert_done(gguf_parse(&g, bytes, size, "m.gguf", &e), &e);
    size_t place = gguf_tensor_find(g, "rope_freqs.weight")->offset;
    gguf_close(g);
    float divisor;
    memcpy(&divisor, bytes + place + 8 * sizeof divisor, sizeof divisor);
    divisor *= 1.0001f;
    memcpy(bytes + place + 8 * sizeof divisor, &divisor, sizeof divisor);
    assert_int_equal(read_gguf(&c, bytes, size, &e), -1);
    assert_non_null(strstr(e.text, "tensor rope_freqs.weight: these rope factors are not Llama 3's"));
    mem_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_spellings_give_the_same),
        cmocka_unit_test(families_are_read),
        cmocka_unit_test(variants_are_read),
        cmocka_unit_test(windows_are_read),
        cmocka_unit_test(what_is_not_there_is_refused_by_name),
        cmocka_unit_test(what_is_no_json_is_refused_with_its_place),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(description_is_one_line),
        cmocka_unit_test(gguf_metadata_are_read),
        cmocka_unit_test(gguf_that_is_something_else_is_refused),
        cmocka_unit_test(gguf_that_asks_for_more_is_refused),
        cmocka_unit_test(gguf_linear_scaling_is_read),
        cmocka_unit_test(odd_sets_of_biases_are_refused),
        cmocka_unit_test(other_rope_tables_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
