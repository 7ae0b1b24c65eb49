/* A tokenizer and the files around it: which ids begin and end a document, and the chat template. */
#include "fmt/tokenizer_internal.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "fmt/gguf.h"
#include "fmt/unicode.h"

/* What the files said of BOS and EOS so far; a file that says null has said something, too. */
struct specials {
    bool bos_known, eos_known;
};

/* "bos_token": "<s>", {"content": "<s>", ...} or null. */
static int read_special(struct tokenizer *t, const struct fields *f, const char *key, int64_t *id, bool *known)
{
    const json_t *value = json_object_get(f->object, key);
    if (!value || *known)
        return 0;
    const char *name = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    uint32_t found;
    if (!name && !json_is_null(value))
        return fields_refuse(f, key, "expected the text of a token or null");
    if (name && !tokenizer_find(t, name, &found))
        return fields_refuse(f, key, "expected a token of the tokenizer.json beside it");
    if (name)
        *id = found;
    *known = true;
    return 0;
}

static int read_specials(struct tokenizer *t, const struct fields *f, struct specials *s)
{
    int64_t bos = t->bos;
    if (read_special(t, f, "bos_token", &bos, &s->bos_known) || read_special(t, f, "eos_token", &t->eos, &s->eos_known))
        return -1;
    if (!t->adds_bos) /* else it is the token that the post-processor puts there */
        t->bos = bos;
    return 0;
}

/* "bos_token_id": 1, or a list of which the first counts; one that no token has is the model's business, not ours. */
static void read_id(const struct tokenizer *t, const json_t *object, const char *key, int64_t *id, bool *known)
{
    const json_t *value = json_object_get(object, key);
    if (json_is_array(value))
        value = json_array_get(value, 0);
    double number = json_number_value(value);
    if (*known || !json_is_number(value) || number < 0 || number >= t->size)
        return;
    *id = (int64_t)number;
    *known = true;
}

/* A text, or a list of {name, template} of which "default" is ours. */
static int read_chat_template(struct tokenizer *t, const struct fields *f)
{
    const json_t *value = fields_get(f, "chat_template");
    const char *text = json_string_value(value);
    for (size_t i = 0; !text && i < json_array_size(value); i++) {
        const json_t *one = json_array_get(value, i);
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name && !strcmp(name, "default"))
            text = json_string_value(json_object_get(one, "template"));
    }
    if (value && !text && !json_is_array(value))
        return fields_refuse(f, "chat_template", "expected a text or a list of {\"name\", \"template\"}");
    if (text) {
        mem_free(t->chat_template);
        t->chat_template = mem_strdup(text);
    }
    return 0;
}

static int read_config_object(struct tokenizer *t, const struct fields *f, struct specials *s)
{
    if (read_specials(t, f, s) || read_chat_template(t, f))
        return -1;
    bool adds = fields_bool(f, "add_bos_token", t->adds_bos);
    if (f->e->code)
        return -1;
    if (adds && t->bos < 0)
        return fields_refuse(f, "add_bos_token", "there is no bos_token to add");
    t->adds_bos = adds;
    return 0;
}

/* As json_parse_object, but any integer is read as a real: transformers writes a model_max_length of 10^30. */
static json_t *parse_object(const char *text, size_t size, const char *path, struct err *e)
{
    json_error_t fault;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &fault);
    if (json_is_object(root))
        return root;
    err_set(e, ERR_INPUT, "%s:%d: expected a JSON object, {\"key\": value, ...}", path, fault.line);
    json_decref(root);
    return NULL;
}

/* Calls read with the JSON object of a file beside tokenizer.json, if there is one. kept: tokenizer_write writes it
 * again. */
static int with_file(struct tokenizer *t, const char *directory, const char *name, bool kept,
                     int (*read)(struct tokenizer *t, const struct fields *f, struct specials *s), struct specials *s,
                     struct err *e)
{
    char *path = file_join(directory, name);
    struct file_map m = {0};
    int rc = 0;
    if (file_exists(path)) {
        rc = file_map_open(&m, path, e);
        json_t *root = rc ? NULL : parse_object((const char *)m.data, m.size, path, e);
        const struct fields f = {root, path, "", e};
        rc = root ? read(t, &f, s) : -1;
        if (kept && !rc)
            tokenizer_keep_file(t, name, m.data, m.size);
        json_decref(root);
        file_map_close(&m);
    }
    mem_free(path);
    return rc;
}

static int read_ids(struct tokenizer *t, const struct fields *f, struct specials *s)
{
    if (!t->adds_bos)
        read_id(t, f->object, "bos_token_id", &t->bos, &s->bos_known);
    read_id(t, f->object, "eos_token_id", &t->eos, &s->eos_known);
    return 0;
}

/* chat_template.jinja wins over the one in tokenizer_config.json. */
static int read_jinja(struct tokenizer *t, const char *directory, struct err *e)
{
    static const char name[] = "chat_template.jinja";
    char *path = file_join(directory, name);
    struct file_map m = {0};
    int rc = 0;
    if (file_exists(path)) {
        rc = file_map_open(&m, path, e);
        if (!rc && (utf8_valid_prefix((const char *)m.data, m.size) != m.size || memchr(m.data, 0, m.size)))
            rc = err_set(e, ERR_INPUT, "%s: expected a text in UTF-8", path);
        if (!rc) {
            tokenizer_keep_file(t, name, m.data, m.size);
            mem_free(t->chat_template);
            t->chat_template = mem_strdup(t->files[t->file_count - 1].text);
        }
        file_map_close(&m);
    }
    mem_free(path);
    return rc;
}

static int read_side_files(struct tokenizer *t, const char *directory, struct err *e)
{
    struct specials s = {0};
    if (with_file(t, directory, "tokenizer_config.json", true, read_config_object, &s, e) ||
        with_file(t, directory, "special_tokens_map.json", true, read_specials, &s, e) ||
        with_file(t, directory, "generation_config.json", false, read_ids, &s, e) ||
        with_file(t, directory, "config.json", false, read_ids, &s, e))
        return -1;
    return read_jinja(t, directory, e);
}

static int open_directory(struct tokenizer **out, const char *directory, struct err *e)
{
    char *path = file_join(directory, "tokenizer.json");
    struct file_map m = {0};
    struct tokenizer *t = NULL;
    int rc = file_exists(path) ? file_map_open(&m, path, e)
                               : err_set(e, ERR_INPUT,
                                         "%s: there is no such file: a model directory needs one (transformers "
                                         "writes it with tokenizer.save_pretrained)",
                                         path);
    if (!rc)
        rc = tokenizer_from_json(&t, (const char *)m.data, m.size, path, e);
    if (!rc)
        rc = read_side_files(t, directory, e);
    file_map_close(&m);
    mem_free(path);
    if (rc)
        tokenizer_close(t);
    else
        *out = t;
    return rc;
}

static int open_gguf(struct tokenizer **out, const char *path, struct err *e)
{
    struct gguf *g;
    if (gguf_open(&g, path, e))
        return -1;
    int rc = tokenizer_from_gguf(out, g, path, e);
    gguf_close(g);
    return rc;
}

int tokenizer_open(struct tokenizer **out, const char *path, struct err *e)
{
    return file_is_directory(path) ? open_directory(out, path, e) : open_gguf(out, path, e);
}

int tokenizer_read_config(struct tokenizer *t, const char *text, size_t size, const char *path, struct err *e)
{
    json_t *root = parse_object(text, size, path, e);
    if (!root)
        return -1;
    struct specials s = {0};
    const struct fields f = {root, path, "", e};
    int rc = read_config_object(t, &f, &s);
    json_decref(root);
    return rc;
}
