/* The tokenizer in a GGUF's metadata, written down as the tokenizer.json and tokenizer_config.json that it came from;
 * these are then read like any other. So there is one tokenizer, and what we write for transformers is what we use.
 *
 * A GGUF names the split pattern instead of giving it (tokenizer.ggml.pre) and keeps no normaliser; both come from the
 * table below. A SentencePiece model (tokenizer.ggml.model llama) has scores instead of merges: every way to cut a
 * piece into two pieces is a merge, in the order of the scores of what it makes. */
#include "fmt/tokenizer_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fmt/gguf.h"
#include "fmt/unicode.h"

#define KEY(name) "tokenizer.ggml." name

/* tokenizer.ggml.token_type */
enum token_type { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER_DEFINED, TYPE_UNUSED, TYPE_BYTE };

#define BYTE_LEVEL(use_regex) \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":" use_regex "}"
#define SEQUENCE(a, b) "{\"type\":\"Sequence\",\"pretokenizers\":[" a "," b "]}"
#define ISOLATED(regex) \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"Isolated\",\"invert\":false}"
/* Llama 3 takes up to three digits together, Qwen 2 one. */
#define CL100K(digits)                                                             \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" digits \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define SINGLE_DIGITS "{\"type\":\"Digits\",\"individual_digits\":true}"

/* The values of tokenizer.ggml.pre that we know, and what they stand for. */
static const struct pre {
    const char *name, *normalizer, *pre_tokenizer;
    bool ignore_merges;
    bool adds_bos; /* where there is no add_bos_token, which Llama 3's own settings lack */
} pres[] = {
    {"gpt-2", "null", BYTE_LEVEL("true"), false, false},
    {"smollm", "null", SEQUENCE(SINGLE_DIGITS, BYTE_LEVEL("true")), false, false},
    {"llama-bpe", "null", SEQUENCE(ISOLATED(CL100K("\\\\p{N}{1,3}")), BYTE_LEVEL("false")), true, true},
    {"qwen2", "{\"type\":\"NFC\"}", SEQUENCE(ISOLATED(CL100K("\\\\p{N}")), BYTE_LEVEL("false")), false, false},
};

/* The vocabulary of the file and where it goes. */
struct source {
    const struct gguf *g;
    const char *name;
    struct strbuf *json;
    struct err *e;
    uint64_t count;
};

static bool get_text(const struct gguf *g, const char *key, struct strbuf *out)
{
    const char *text;
    size_t size;
    strbuf_clear(out);
    if (!gguf_get_string(g, key, &text, &size))
        return false;
    strbuf_add(out, text, size);
    return true;
}

static int token_at(const struct source *s, uint64_t i, const char **text, size_t *size)
{
    if (!gguf_array_string(s->g, KEY("tokens"), i, text, size))
        return err_set(s->e, ERR_INPUT, "%s: tokenizer.ggml.tokens: expected an array of strings", s->name);
    if (!*size || utf8_valid_prefix(*text, *size) != *size || memchr(*text, 0, *size))
        return err_set(s->e, ERR_INPUT, "%s: tokenizer.ggml.tokens[%llu] is empty or no UTF-8", s->name,
                       (unsigned long long)i);
    return 0;
}

static enum token_type type_at(const struct source *s, uint64_t i)
{
    int64_t type;
    return gguf_array_i64(s->g, KEY("token_type"), i, &type) ? (enum token_type)type : TYPE_NORMAL;
}

/* The token that an id key names; false if there is none or it is out of the vocabulary. */
static bool named_token(const struct source *s, const char *key, const char **text, size_t *size)
{
    uint64_t id;
    return gguf_get_u64(s->g, key, &id) && id < s->count && type_at(s, id) != TYPE_UNUSED &&
           gguf_array_string(s->g, KEY("tokens"), id, text, size);
}

static int put_vocab(const struct source *s)
{
    strbuf_adds(s->json, "\"vocab\":{");
    const char *comma = "";
    for (uint64_t i = 0; i < s->count; i++) {
        const char *text;
        size_t size;
        if (token_at(s, i, &text, &size))
            return -1;
        if (type_at(s, i) == TYPE_UNUSED)
            continue; /* an id that fills the matrix up: no token names it */
        strbuf_adds(s->json, comma);
        json_put_text(s->json, text, size);
        strbuf_printf(s->json, ":%llu", (unsigned long long)i);
        comma = ",";
    }
    strbuf_adds(s->json, "}");
    return 0;
}

static int put_added_tokens(const struct source *s)
{
    const char *comma = "";
    strbuf_adds(s->json, "\"added_tokens\":[");
    for (uint64_t i = 0; i < s->count; i++) {
        enum token_type type = type_at(s, i);
        const char *text;
        size_t size;
        if (type != TYPE_CONTROL && type != TYPE_USER_DEFINED && type != TYPE_UNKNOWN)
            continue;
        if (token_at(s, i, &text, &size))
            return -1;
        strbuf_printf(s->json, "%s{\"id\":%llu,\"content\":", comma, (unsigned long long)i);
        json_put_text(s->json, text, size);
        strbuf_printf(s->json,
                      ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
                      "\"special\":%s}",
                      type == TYPE_USER_DEFINED ? "false" : "true");
        comma = ",";
    }
    strbuf_adds(s->json, "]");
    return 0;
}

/* usual: this kind of tokenizer puts its BOS, if it has one, before a text where the file does not say. */
static int put_post_processor(const struct source *s, bool usual)
{
    const char *text;
    size_t size;
    bool adds = usual && gguf_has(s->g, KEY("bos_token_id"));
    gguf_get_bool(s->g, KEY("add_bos_token"), &adds);
    if (!adds) {
        strbuf_adds(s->json, "\"post_processor\":null,");
        return 0;
    }
    if (!named_token(s, KEY("bos_token_id"), &text, &size))
        return err_set(s->e, ERR_INPUT, "%s: this tokenizer adds a BOS, but tokenizer.ggml.bos_token_id names no token",
                       s->name);
    uint64_t id = 0;
    gguf_get_u64(s->g, KEY("bos_token_id"), &id);
    struct strbuf name;
    strbuf_init(&name);
    json_put_text(&name, text, size);
    strbuf_printf(
        s->json,
        "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":%s,"
        "\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[{\"SpecialToken\":{\"id\":%s,"
        "\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":%s,\"type_id\":1}},"
        "{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],\"special_tokens\":{%s:{\"id\":%s,\"ids\":[%llu],"
        "\"tokens\":[%s]}}},",
        name.data, name.data, name.data, name.data, name.data, (unsigned long long)id, name.data);
    strbuf_release(&name);
    return 0;
}

static int put_given_merges(const struct source *s)
{
    uint64_t count;
    if (!gguf_get_array(s->g, KEY("merges"), &count))
        return err_set(s->e, ERR_INPUT, "%s: tokenizer.ggml.merges is missing or no array", s->name);
    strbuf_adds(s->json, "\"merges\":[");
    for (uint64_t i = 0; i < count; i++) {
        const char *text;
        size_t size;
        if (!gguf_array_string(s->g, KEY("merges"), i, &text, &size) || utf8_valid_prefix(text, size) != size)
            return err_set(s->e, ERR_INPUT, "%s: tokenizer.ggml.merges[%llu] is no UTF-8 string", s->name,
                           (unsigned long long)i);
        strbuf_adds(s->json, i ? "," : "");
        json_put_text(s->json, text, size);
    }
    strbuf_adds(s->json, "]");
    return 0;
}

static const struct pre *find_pre(const struct source *s)
{
    struct strbuf name;
    const struct pre *found = NULL;
    strbuf_init(&name);
    if (!get_text(s->g, KEY("pre"), &name))
        strbuf_adds(&name, "(missing)");
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++)
        if (!strcmp(pres[i].name, name.data))
            found = &pres[i];
    if (!found)
        err_set(s->e, ERR_INPUT,
                "%s: tokenizer.ggml.pre %.60s is not supported; supported are gpt-2, smollm, llama-bpe and "
                "qwen2: use the model's Hugging Face directory",
                s->name, name.data);
    strbuf_release(&name);
    return found;
}

static int put_byte_level(const struct source *s)
{
    const struct pre *pre = find_pre(s);
    if (!pre || put_added_tokens(s))
        return -1;
    strbuf_printf(s->json, ",\"normalizer\":%s,\"pre_tokenizer\":%s,", pre->normalizer, pre->pre_tokenizer);
    if (put_post_processor(s, pre->adds_bos))
        return -1;
    strbuf_printf(s->json,
                  "\"decoder\":" BYTE_LEVEL(
                      "true") ",\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":"
                              "null,\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":false,"
                              "\"byte_fallback\":false,\"ignore_merges\":%s,",
                  pre->ignore_merges ? "true" : "false");
    if (put_vocab(s))
        return -1;
    strbuf_adds(s->json, ",");
    return put_given_merges(s);
}

/* One way to make a piece of two. */
struct scored {
    double score;
    uint32_t left, right;         /* ids */
    size_t left_size, right_size; /* in characters */
    const char *text;             /* left, then right */
    size_t left_bytes, bytes;
};

struct scored_list {
    struct scored *merges;
    size_t count, room;
};

static void scored_add(struct scored_list *l, struct scored m)
{
    if (l->count == l->room) {
        l->room = l->room ? 2 * l->room : 1024;
        l->merges = mem_resize(l->merges, l->room, sizeof *l->merges);
    }
    l->merges[l->count++] = m;
}

/* The best score first. Equal ones as transformers orders them: longer left, longer right, then the order of the ids.
 */
static int by_score(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->left_size != y->left_size)
        return x->left_size > y->left_size ? -1 : 1;
    if (x->right_size != y->right_size)
        return x->right_size > y->right_size ? -1 : 1;
    if (x->left != y->left)
        return x->left < y->left ? -1 : 1;
    return (x->right > y->right) - (x->right < y->right);
}

static size_t characters_in(const char *text, size_t size)
{
    size_t n = 0;
    for (const char *p = text; p < text + size; n++)
        utf8_next(&p);
    return n;
}

static void add_cuts(struct scored_list *l, const struct vocab *v, const char *text, size_t size, double score)
{
    size_t all = characters_in(text, size), before = 0;
    for (const char *p = text; p < text + size;) {
        utf8_next(&p);
        before++;
        size_t n = (size_t)(p - text);
        uint32_t left = n < size ? vocab_find(v, text, n) : TOKEN_NONE;
        uint32_t right = left == TOKEN_NONE ? TOKEN_NONE : vocab_find(v, p, size - n);
        if (right != TOKEN_NONE)
            scored_add(l, (struct scored){score, left, right, before, all - before, text, n, size});
    }
}

/* All pieces that text is made of: control tokens and the like are never merged. */
static int collect_pieces(const struct source *s, struct vocab *v)
{
    for (uint64_t i = 0; i < s->count; i++) {
        enum token_type type = type_at(s, i);
        const char *text;
        size_t size;
        if (token_at(s, i, &text, &size))
            return -1;
        if (type != TYPE_NORMAL && type != TYPE_USER_DEFINED)
            continue;
        if (!vocab_add(v, text, size, (uint32_t)i))
            return err_set(s->e, ERR_INPUT, "%s: tokenizer.ggml.tokens[%llu], \"%.*s\", is there twice", s->name,
                           (unsigned long long)i, (int)(size < 100 ? size : 100), text);
    }
    return 0;
}

static int collect_merges(const struct source *s, const struct vocab *v, struct scored_list *l)
{
    for (uint64_t i = 0; i < s->count; i++) {
        size_t size;
        double score;
        const char *text = vocab_piece(v, (uint32_t)i, &size);
        if (!gguf_array_f64(s->g, KEY("scores"), i, &score) || isnan(score))
            return err_set(s->e, ERR_INPUT, "%s: tokenizer.ggml.scores[%llu] is missing or no number", s->name,
                           (unsigned long long)i);
        if (text)
            add_cuts(l, v, text, size, score);
    }
    return 0;
}

static void put_scored_merges(const struct source *s, const struct scored_list *l)
{
    strbuf_adds(s->json, "\"merges\":[");
    for (size_t i = 0; i < l->count; i++) {
        const struct scored *m = &l->merges[i];
        strbuf_adds(s->json, i ? ",[" : "[");
        json_put_text(s->json, m->text, m->left_bytes);
        strbuf_addc(s->json, ',');
        json_put_text(s->json, m->text + m->left_bytes, m->bytes - m->left_bytes);
        strbuf_addc(s->json, ']');
    }
    strbuf_adds(s->json, "]");
}

static int put_merges_of_scores(const struct source *s)
{
    struct vocab v;
    struct scored_list l = {0};
    vocab_init(&v);
    int rc = collect_pieces(s, &v) ? -1 : collect_merges(s, &v, &l);
    if (!rc) {
        if (l.count)
            qsort(l.merges, l.count, sizeof *l.merges, by_score);
        put_scored_merges(s, &l);
    }
    mem_free(l.merges);
    vocab_release(&v);
    return rc;
}

static int refuse_char_map(const struct source *s)
{
    uint64_t count;
    if (gguf_get_array(s->g, KEY("precompiled_charsmap"), &count) && count)
        return err_set(s->e, ERR_INPUT,
                       "%s: tokenizer.ggml.precompiled_charsmap is not supported: use the model's Hugging "
                       "Face directory",
                       s->name);
    return 0;
}

/* Llama 2 and Mistral: a mark in front of the text and for every space, bytes for what no token covers. */
static int put_sentencepiece(const struct source *s)
{
#define SPACES "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xe2\x96\x81\"}"
#define MARKS "{\"type\":\"Replace\",\"pattern\":{\"String\":\"\xe2\x96\x81\"},\"content\":\" \"}"
    bool prefix = true;
    const char *unknown;
    size_t size;
    gguf_get_bool(s->g, KEY("add_space_prefix"), &prefix);
    if (refuse_char_map(s) || put_added_tokens(s))
        return -1;
    strbuf_printf(s->json,
                  ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[%s" SPACES "]},\"pre_tokenizer\":null,",
                  prefix ? "{\"type\":\"Prepend\",\"prepend\":\"\xe2\x96\x81\"}," : "");
    if (put_post_processor(s, true))
        return -1;
    strbuf_printf(s->json,
                  "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[" MARKS ",{\"type\":\"ByteFallback\"},{\"type\":"
                  "\"Fuse\"}%s]},\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":",
                  prefix ? ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}" : "");
    if (named_token(s, KEY("unknown_token_id"), &unknown, &size))
        json_put_text(s->json, unknown, size);
    else
        strbuf_adds(s->json, "null");
    strbuf_adds(s->json, ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":true,"
                         "\"byte_fallback\":true,\"ignore_merges\":false,");
    if (put_vocab(s))
        return -1;
    strbuf_adds(s->json, ",");
    return put_merges_of_scores(s);
}

int gguf_tokenizer_json(const struct gguf *g, const char *name, struct strbuf *json, struct err *e)
{
    struct source s = {.g = g, .name = name, .json = json, .e = e};
    struct strbuf model;
    uint64_t types;
    strbuf_init(&model);
    get_text(g, KEY("model"), &model);
    bool is_bpe = !strcmp(model.data, "gpt2"), is_sentencepiece = !strcmp(model.data, "llama");
    if (!is_bpe && !is_sentencepiece)
        err_set(e, ERR_INPUT, "%s: tokenizer.ggml.model is \"%.60s\"; supported are gpt2 and llama", name, model.data);
    strbuf_release(&model);
    if (e->code)
        return -1;
    if (!gguf_get_array(g, KEY("tokens"), &s.count) || !s.count || s.count > (uint64_t)TOKEN_ID_MAX + 1)
        return err_set(e, ERR_INPUT, "%s: tokenizer.ggml.tokens: expected an array of 1 to %d strings", name,
                       TOKEN_ID_MAX + 1);
    if (!gguf_get_array(g, KEY("token_type"), &types) || types != s.count)
        return err_set(e, ERR_INPUT, "%s: tokenizer.ggml.token_type: expected one number for each of the %llu tokens",
                       name, (unsigned long long)s.count);
    strbuf_adds(json, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,");
    if (is_bpe ? put_byte_level(&s) : put_sentencepiece(&s))
        return -1;
    strbuf_adds(json, "}}");
    return 0;
}

static void put_named(const struct source *s, const char *json_key, const char *key)
{
    const char *text;
    size_t size;
    strbuf_printf(s->json, "  \"%s\": ", json_key);
    if (named_token(s, key, &text, &size))
        json_put_text(s->json, text, size);
    else
        strbuf_adds(s->json, "null");
    strbuf_adds(s->json, ",\n");
}

static void gguf_tokenizer_config_put(const struct source *s, bool adds)
{
    const char *text;
    size_t size;
    strbuf_printf(s->json, "{\n  \"add_bos_token\": %s,\n", adds ? "true" : "false");
    put_named(s, "bos_token", KEY("bos_token_id"));
    put_named(s, "eos_token", KEY("eos_token_id"));
    put_named(s, "pad_token", KEY("padding_token_id"));
    put_named(s, "unk_token", KEY("unknown_token_id"));
    if (gguf_get_string(s->g, "tokenizer.chat_template", &text, &size)) {
        strbuf_adds(s->json, "  \"chat_template\": ");
        json_put_text(s->json, text, size);
        strbuf_adds(s->json, ",\n");
    }
    strbuf_adds(s->json, "  \"clean_up_tokenization_spaces\": false,\n"
                         "  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n");
}

int tokenizer_from_gguf(struct tokenizer **out, const struct gguf *g, const char *name, struct err *e)
{
    struct strbuf json, config;
    struct tokenizer *t = NULL;
    strbuf_init(&json);
    strbuf_init(&config);
    int rc = gguf_tokenizer_json(g, name, &json, e);
    if (!rc)
        rc = tokenizer_from_json(&t, json.data, json.size, name, e);
    if (!rc) {
        struct source s = {.g = g, .name = name, .json = &config, .e = e};
        gguf_get_array(g, KEY("tokens"), &s.count);
        gguf_tokenizer_config_put(&s, tokenizer_adds_bos(t));
        rc = tokenizer_read_config(t, config.data, config.size, name, e);
    }
    if (rc) {
        tokenizer_close(t);
    } else {
        tokenizer_keep_file(t, "tokenizer_config.json", config.data, config.size);
        *out = t;
    }
    strbuf_release(&json);
    strbuf_release(&config);
    return rc;
}
