/* tokenizer.json becomes a tokenizer. */
#include "fmt/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

/* The file while it is read. */
struct reading {
    struct tokenizer *t;
    const json_t *root, *model;
    const char *path;
    struct err *e;
    struct hash64 *hash;
};

static int read_vocab(struct reading *r)
{
    const struct fields model = {r->model, r->path, "model.", r->e};
    json_t *vocab = json_object_get(r->model, "vocab");
    const char *piece;
    json_t *value;
    if (!json_is_object(vocab) || !json_object_size(vocab))
        return err_set(r->e, ERR_INPUT, "%s: model.vocab: expected an object {\"piece\": id, ...}", model.path);
    json_object_foreach(vocab, piece, value)
    {
        json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id > TOKEN_ID_MAX)
            return err_set(r->e, ERR_INPUT, "%s: model.vocab: the id of \"%.100s\" is no integer from 0 to %d", r->path,
                           piece, TOKEN_ID_MAX);
        if (!*piece || !vocab_add(&r->t->vocab, piece, strlen(piece), (uint32_t)id))
            return err_set(r->e, ERR_INPUT,
                           "%s: model.vocab: \"%.100s\" is empty or its id %lld has another piece, too", r->path, piece,
                           (long long)id);
    }
    return 0;
}

/* "left right" or ["left", "right"]; borrowed from the value. */
static bool split_merge(const json_t *value, const char **left, size_t *left_size, const char **right)
{
    const char *text = json_string_value(value);
    if (text) {
        const char *space = strchr(text, ' ');
        if (!space || strchr(space + 1, ' '))
            return false;
        *left = text;
        *left_size = (size_t)(space - text);
        *right = space + 1;
        return true;
    }
    *left = json_string_value(json_array_get(value, 0));
    *right = json_string_value(json_array_get(value, 1));
    *left_size = *left ? strlen(*left) : 0;
    return json_array_size(value) == 2 && *left && *right;
}

static int read_merge(struct reading *r, const json_t *value, size_t rank, struct strbuf *joined)
{
    const struct vocab *v = &r->t->vocab;
    const char *left = NULL, *right = NULL;
    size_t left_size = 0;
    if (!split_merge(value, &left, &left_size, &right))
        return err_set(r->e, ERR_INPUT, "%s: model.merges[%zu]: expected \"left right\" or [\"left\", \"right\"]",
                       r->path, rank);
    strbuf_clear(joined);
    strbuf_add(joined, left, left_size);
    strbuf_adds(joined, right);
    uint32_t ids[] = {vocab_find(v, left, left_size), vocab_find(v, right, strlen(right)),
                      vocab_find(v, joined->data, joined->size)};
    if (ids[0] == TOKEN_NONE || ids[1] == TOKEN_NONE || ids[2] == TOKEN_NONE)
        return err_set(r->e, ERR_INPUT,
                       "%s: model.merges[%zu]: \"%.*s\", \"%.100s\" and both together must be in model.vocab", r->path,
                       rank, (int)(left_size < 100 ? left_size : 100), left, right);
    bpe_add_merge(&r->t->bpe, ids[0], ids[1], (uint32_t)rank, ids[2]);
    hash64_add(r->hash, ids, sizeof ids);
    return 0;
}

static int read_merges(struct reading *r)
{
    const json_t *merges = json_object_get(r->model, "merges");
    struct strbuf joined;
    if (!json_is_array(merges) || json_array_size(merges) >= UINT32_MAX)
        return err_set(r->e, ERR_INPUT, "%s: model.merges: expected a list", r->path);
    strbuf_init(&joined);
    int rc = 0;
    for (size_t i = 0; !rc && i < json_array_size(merges); i++)
        rc = read_merge(r, json_array_get(merges, i), i, &joined);
    strbuf_release(&joined);
    return rc;
}

static int refuse_affix(const struct fields *model, const char *key)
{
    return *fields_text(model, key, "") ? fields_refuse(model, key, "only null or \"\" is supported") : 0;
}

static int read_model_flags(struct reading *r)
{
    const struct fields model = {r->model, r->path, "model.", r->e};
    struct bpe *b = &r->t->bpe;
    const char *unknown = fields_text(&model, "unk_token", NULL);
    if (refuse_affix(&model, "continuing_subword_prefix") || refuse_affix(&model, "end_of_word_suffix"))
        return -1;
    if (fields_number(&model, "dropout", 0, 1, 0) > 0)
        return fields_refuse(&model, "dropout", "only null or 0 is supported: it makes ids random");
    b->byte_fallback = fields_bool(&model, "byte_fallback", false);
    b->fuse_unknown = fields_bool(&model, "fuse_unk", false);
    b->ignore_merges = fields_bool(&model, "ignore_merges", false);
    if (r->e->code)
        return -1;
    if (unknown)
        b->unknown = vocab_find(&r->t->vocab, unknown, strlen(unknown));
    if (unknown && b->unknown == TOKEN_NONE)
        return fields_refuse(&model, "unk_token", "expected a piece of model.vocab");
    return 0;
}

static int read_model(struct reading *r)
{
    const struct fields root = {r->root, r->path, "", r->e};
    r->model = fields_get(&root, "model");
    if (!json_is_object(r->model))
        return fields_refuse(&root, "model", "expected an object");
    const struct fields model = {r->model, r->path, "model.", r->e};
    const char *type = fields_text(&model, "type", "BPE"); /* the oldest files leave it out */
    if (r->e->code)
        return -1;
    if (strcmp(type, "BPE"))
        return err_set(r->e, ERR_INPUT, "%s: model %.60s is not supported; supported is BPE", r->path, type);
    if (read_vocab(r))
        return -1;
    bpe_init(&r->t->bpe, &r->t->vocab);
    if (read_model_flags(r) || read_merges(r))
        return -1;
    bpe_finish(&r->t->bpe);
    return 0;
}

static void keep_text(void *context, const char *text, size_t size, bool first)
{
    (void)first;
    strbuf_add(context, text, size);
}

static char *normalize_content(const struct tokenizer *t, const char *content)
{
    struct strbuf out;
    struct steps_memory m;
    strbuf_init(&out);
    steps_memory_init(&m);
    steps_run(&t->normalizer, &m, content, strlen(content), true, keep_text, &out);
    steps_memory_release(&m);
    char *text = strbuf_detach(&out);
    return text;
}

/* next: the id that `tokenizers` gives to the next token that the model lacks, whatever the file says. */
static int read_added_token(struct reading *r, const json_t *value, uint32_t *next)
{
    const struct fields f = {value, r->path, "added_tokens[].", r->e};
    if (!json_is_object(value))
        return err_set(r->e, ERR_INPUT, "%s: added_tokens: expected objects", r->path);
    const char *content = fields_need_text(&f, "content");
    int64_t id = fields_need_int(&f, "id", 0, TOKEN_ID_MAX);
    struct added_token a = {.id = (uint32_t)id,
                            .special = fields_bool(&f, "special", false),
                            .in_normalized = fields_bool(&f, "normalized", true),
                            .single_word = fields_bool(&f, "single_word", false),
                            .strips_left = fields_bool(&f, "lstrip", false),
                            .strips_right = fields_bool(&f, "rstrip", false)};
    if (r->e->code || !*content)
        return r->e->code ? -1 : fields_refuse(&f, "content", "expected a text that is not empty");
    uint32_t expected = vocab_find(&r->t->vocab, content, strlen(content));
    if (expected == TOKEN_NONE)
        expected = (*next)++;
    if (a.id != expected)
        return err_set(r->e, ERR_INPUT,
                       "%s: added_tokens: \"%.100s\" has the id %u, but the library gives it %u: ids of added "
                       "tokens must be those of model.vocab or follow it without a hole",
                       r->path, content, a.id, expected);
    a.content = mem_strdup(content);
    a.normalized = a.in_normalized ? normalize_content(r->t, content) : mem_strdup(content);
    added_tokens_add(&r->t->added, a);
    return 0;
}

static int read_added_tokens(struct reading *r)
{
    const struct fields root = {r->root, r->path, "", r->e};
    const json_t *list = fields_get(&root, "added_tokens");
    uint32_t next = r->t->vocab.count;
    if (list && !json_is_array(list))
        return fields_refuse(&root, "added_tokens", "expected a list");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (read_added_token(r, json_array_get(list, i), &next))
            return -1;
    const char *twice = added_tokens_finish(&r->t->added);
    if (twice)
        return err_set(r->e, ERR_INPUT, "%s: added_tokens: \"%.100s\" is there twice", r->path, twice);
    r->t->size = r->t->vocab.size;
    if (r->t->added.count && r->t->added.tokens[r->t->added.count - 1].id >= r->t->size)
        r->t->size = r->t->added.tokens[r->t->added.count - 1].id + 1;
    return 0;
}

/* What a TemplateProcessing puts before one text: nothing, or one token, which is then the BOS. */
static int read_template(struct reading *r, const struct fields *f)
{
    const json_t *single = fields_get(f, "single");
    const json_t *first = json_array_get(single, 0), *special = json_object_get(first, "SpecialToken");
    if (!json_is_array(single))
        return fields_refuse(f, "single", "expected a list");
    if (!special)
        return 0;
    if (!json_object_get(json_array_get(single, 1), "Sequence"))
        return fields_refuse(f, "single", "at most one token before the text is supported");
    const char *name = json_string_value(json_object_get(special, "id"));
    const json_t *entry = name ? json_object_get(fields_get(f, "special_tokens"), name) : NULL;
    const json_t *ids = json_object_get(entry, "ids"), *id = json_array_get(ids, 0);
    if (json_array_size(ids) != 1 || !json_is_integer(id) || json_integer_value(id) < 0 ||
        json_integer_value(id) >= r->t->size || !tokenizer_piece(r->t, (uint32_t)json_integer_value(id)))
        return fields_refuse(f, "special_tokens", "expected one id of the vocabulary for the token before the text");
    r->t->bos = json_integer_value(id);
    r->t->adds_bos = true;
    return 0;
}

/* A post-processor adds tokens around a text: all that we want to know is the one in front. */
static int read_post_processor(struct reading *r, const json_t *value)
{
    const struct fields f = {value, r->path, "post_processor.", r->e};
    if (!json_is_object(value))
        return err_set(r->e, ERR_INPUT, "%s: post_processor: expected an object with a type", r->path);
    const char *type = fields_need_text(&f, "type");
    if (r->e->code)
        return -1;
    if (!strcmp(type, "ByteLevel"))
        return 0; /* it moves offsets alone */
    if (!strcmp(type, "TemplateProcessing"))
        return read_template(r, &f);
    if (strcmp(type, "Sequence"))
        return steps_refuse_type(&f, "post_processor", "TemplateProcessing, ByteLevel and Sequence");
    const json_t *parts = fields_get(&f, "processors");
    if (!json_is_array(parts))
        return fields_refuse(&f, "processors", "expected a list");
    for (size_t i = 0; i < json_array_size(parts); i++)
        if (read_post_processor(r, json_array_get(parts, i)))
            return -1;
    return 0;
}

static void hash_value(struct reading *r, const json_t *owner, const char *key)
{
    const json_t *value = json_object_get(owner, key);
    char *text = value ? json_dumps(value, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    const char *shown = text ? text : "null";
    hash64_add(r->hash, shown, strlen(shown) + 1);
    free(text);
}

/* All that decides how a text becomes ids; the merges are in already. */
static void hash_all(struct reading *r)
{
    static const char *const of_model[] = {"byte_fallback", "fuse_unk", "ignore_merges", "unk_token"};
    hash_value(r, r->root, "normalizer");
    hash_value(r, r->root, "pre_tokenizer");
    for (size_t i = 0; i < sizeof of_model / sizeof *of_model; i++)
        hash_value(r, r->model, of_model[i]);
    for (uint32_t id = 0; id < r->t->size; id++) {
        const char *piece = tokenizer_piece(r->t, id);
        const struct added_token *a = added_tokens_by_id(&r->t->added, id);
        unsigned char flags[] = {piece != NULL,       a != NULL,           a && a->special,     a && a->in_normalized,
                                 a && a->single_word, a && a->strips_left, a && a->strips_right};
        hash64_add(r->hash, flags, sizeof flags);
        if (piece)
            hash64_add(r->hash, piece, strlen(piece) + 1);
    }
    r->t->hash = hash64_value(r->hash);
}

static int read_root(struct reading *r)
{
    struct tokenizer *t = r->t;
    if (read_model(r) || steps_read_normalizer(&t->normalizer, json_object_get(r->root, "normalizer"), r->path, r->e) ||
        steps_read_pre_tokenizer(&t->pre_tokenizer, json_object_get(r->root, "pre_tokenizer"), r->path, r->e) ||
        decoder_read(&t->decoder, json_object_get(r->root, "decoder"), r->path, r->e) || read_added_tokens(r))
        return -1;
    const json_t *post = json_object_get(r->root, "post_processor");
    if (post && !json_is_null(post) && read_post_processor(r, post))
        return -1;
    hash_all(r);
    return 0;
}

int tokenizer_from_json(struct tokenizer **out, const char *text, size_t size, const char *name, struct err *e)
{
    json_t *root = json_parse_object(text, size, name, e);
    if (!root)
        return -1;
    struct reading r = {.t = tokenizer_new(), .root = root, .path = name, .e = e, .hash = hash64_new()};
    int rc = read_root(&r);
    hash64_free(r.hash);
    json_decref(root);
    if (rc) {
        tokenizer_close(r.t);
        return -1;
    }
    tokenizer_keep_file(r.t, "tokenizer.json", text, size);
    *out = r.t;
    return 0;
}
