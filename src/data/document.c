#include "data/document.h"

#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "data/text.h"

int document_rules_init(struct document_rules *r, const struct tokenizer *t, bool chat, const char *template_name,
                        const char *system_prompt, bool append_eos, struct err *e)
{
    struct document_rules rules = {.tokenizer = t, .system_prompt = system_prompt, .append_eos = append_eos};
    if (append_eos && tokenizer_eos(t) < 0)
        return err_set(e, ERR_INPUT,
                       "data.append_eos is true and the tokenizer has no end-of-sequence token: set it to false");
    if (chat && chat_template_find(&rules.chat, template_name, t, e))
        return -1;
    *r = rules;
    return 0;
}

void document_release(struct document *d)
{
    token_list_release(&d->ids);
    mem_free(d->supervised);
    *d = (struct document){0};
}

/* Tokens are added first and marked in one go at the end of each part: supervised follows ids.count. */
static void mark(struct document *d, size_t from, bool supervised)
{
    if (!d->ids.count)
        return;
    d->supervised = mem_resize(d->supervised, d->ids.count, 1);
    memset(d->supervised + from, supervised, d->ids.count - from);
    d->supervised[0] = 0; /* nothing predicts a document's first token */
}

static void add_text(struct document *d, const struct tokenizer *t, const char *text, size_t size, bool supervised)
{
    size_t replaced = 0, from = d->ids.count;
    tokenizer_encode(t, text, size, &d->ids, &replaced);
    d->bytes_replaced += (int64_t)replaced;
    mark(d, from, supervised);
}

static void add_bos(struct document *d, const struct tokenizer *t)
{
    if (!tokenizer_adds_bos(t) || tokenizer_bos(t) < 0)
        return;
    token_list_add(&d->ids, (uint32_t)tokenizer_bos(t));
    mark(d, 0, false);
}

static void add_eos(struct document *d, const struct document_rules *r)
{
    if (!r->append_eos)
        return;
    token_list_add(&d->ids, (uint32_t)tokenizer_eos(r->tokenizer));
    mark(d, d->ids.count - 1, true);
}

void document_from_text(struct document *d, const struct document_rules *r, const char *text, size_t size)
{
    add_bos(d, r->tokenizer);
    add_text(d, r->tokenizer, text, size, true);
    add_eos(d, r);
}

/* A conversation and its ids. It is encoded in one piece, as apply_chat_template does it: encoded apart, the pieces
 * would be other tokens wherever a tokenizer merges or puts spaces across their bounds. */
struct conversation {
    const struct tokenizer *tokenizer;
    struct strbuf text;
    struct token_list ids;
    /* The anchor: text from this byte on is encoded as ids from this token on, whatever stands before. */
    size_t byte, token;
};

/* How many tokens cover text[0 .. end); *exact: they are all that this part alone would be. A token across the end
 * belongs to what follows: its first bytes alone would be other tokens. */
static size_t tokens_before(const struct conversation *c, size_t end, bool *exact)
{
    struct token_list part = {0};
    tokenizer_encode(c->tokenizer, c->text.data + c->byte, end - c->byte, &part, NULL);
    const uint32_t *ids = c->ids.ids + c->token;
    size_t n = 0, left = c->ids.count - c->token;
    while (n < part.count && n < left && part.ids[n] == ids[n])
        n++;
    *exact = n == part.count;
    token_list_release(&part);
    return c->token + n;
}

static bool is_one_token(const struct tokenizer *t, const char *text, size_t size, uint32_t id)
{
    struct token_list ids = {0};
    tokenizer_encode(t, text, size, &ids, NULL);
    bool one = ids.count == 1 && ids.ids[0] == id;
    token_list_release(&ids);
    return one;
}

/* text[0 .. end) is the first count tokens. If the last of them is a special one, the anchor moves to it: special
 * tokens are found before the text between them is split, so no other token reaches across. Without it, every turn
 * would be encoded again for each turn after it. */
static void move_anchor(struct conversation *c, size_t end, size_t count)
{
    if (count <= c->token || !tokenizer_is_special(c->tokenizer, c->ids.ids[count - 1]))
        return;
    uint32_t id = c->ids.ids[count - 1];
    const char *piece = tokenizer_piece(c->tokenizer, id);
    size_t size = strlen(piece);
    if (size > end - c->byte || memcmp(c->text.data + end - size, piece, size) ||
        !is_one_token(c->tokenizer, piece, size, id))
        return;
    c->byte = end - size;
    c->token = count - 1;
}

/* supervised: of the conversation's ids. */
static void mark_answers(struct conversation *c, const struct chat_pieces *pieces, unsigned char *supervised)
{
    size_t begin = 0, end;
    for (int i = 0; i < pieces->count; i++, begin = end) {
        end = begin + strlen(pieces->items[i].text);
        if (!pieces->items[i].supervised)
            continue;
        bool exact;
        size_t first = tokens_before(c, begin, &exact), stop = tokens_before(c, end, &exact);
        for (size_t k = first; k < stop; k++)
            supervised[k] = 1;
        if (exact)
            move_anchor(c, end, stop);
    }
}

static void add_pieces(struct document *d, const struct tokenizer *t, const struct chat_pieces *pieces)
{
    struct conversation c = {.tokenizer = t};
    strbuf_init(&c.text);
    for (int i = 0; i < pieces->count; i++)
        strbuf_adds(&c.text, pieces->items[i].text);
    tokenizer_encode(t, c.text.data, c.text.size, &c.ids, NULL);
    if (!c.ids.count || tokenizer_bos(t) != (int64_t)c.ids.ids[0])
        add_bos(d, t); /* else the template has written it */
    size_t from = d->ids.count;
    for (size_t i = 0; i < c.ids.count; i++)
        token_list_add(&d->ids, c.ids.ids[i]);
    mark(d, from, false);
    if (c.ids.count) {
        mark_answers(&c, pieces, d->supervised + from);
        d->supervised[0] = 0; /* nothing predicts a document's first token */
    }
    token_list_release(&c.ids);
    strbuf_release(&c.text);
}

static const char *type_name(const json_t *value)
{
    static const char *names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string", [JSON_INTEGER] = "a number",
        [JSON_REAL] = "a number",    [JSON_TRUE] = "true",      [JSON_FALSE] = "false",     [JSON_NULL] = "null"};
    return names[json_typeof(value)];
}

static int need_string(const json_t *object, const char *key, const json_t **out, struct err *e)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return err_set(e, ERR_INPUT, "no key \"%s\"; it must be there and a string", key);
    if (!json_is_string(value))
        return err_set(e, ERR_INPUT, "\"%s\" is %s; it must be a string", key, type_name(value));
    *out = value;
    return 0;
}

static int from_text_object(struct document *d, const struct document_rules *r, const json_t *object, struct err *e)
{
    const json_t *text;
    if (need_string(object, "text", &text, e))
        return -1;
    document_from_text(d, r, json_string_value(text), json_string_length(text));
    return 0;
}

static int from_completion(struct document *d, const struct document_rules *r, const json_t *object, struct err *e)
{
    const json_t *prompt, *completion;
    if (need_string(object, "prompt", &prompt, e) || need_string(object, "completion", &completion, e))
        return -1;
    add_bos(d, r->tokenizer);
    add_text(d, r->tokenizer, json_string_value(prompt), json_string_length(prompt), false);
    add_text(d, r->tokenizer, json_string_value(completion), json_string_length(completion), true);
    add_eos(d, r);
    return 0;
}

/* What the template would have to render and ours does not: null and empty values ask for nothing. */
static int refuse_key(const json_t *object, const char *key, struct err *e)
{
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0) ||
        (json_is_string(value) && json_string_length(value) == 0))
        return 0;
    return err_set(e, ERR_INPUT, "\"%s\" is not supported: chat data are system, user and assistant messages", key);
}

/* A string that a C string can hold. */
static int need_text(const json_t *object, const char *key, const char **out, struct err *e)
{
    const json_t *value;
    if (need_string(object, key, &value, e))
        return -1;
    if (strlen(json_string_value(value)) != json_string_length(value))
        return err_set(e, ERR_INPUT, "\"%s\" holds a zero byte", key);
    *out = json_string_value(value);
    return 0;
}

static int read_message(struct chat_message *m, const json_t *object, struct err *e)
{
    if (!json_is_object(object))
        return err_set(e, ERR_INPUT, "is %s; it must be {\"role\": ..., \"content\": ...}", type_name(object));
    struct chat_message message;
    if (need_text(object, "role", &message.role, e) || need_text(object, "content", &message.content, e) ||
        refuse_key(object, "tool_calls", e) || refuse_key(object, "reasoning_content", e))
        return -1;
    *m = message;
    return 0;
}

static int render(struct document *d, const struct document_rules *r, const json_t *list, struct err *e)
{
    const size_t count = json_array_size(list);
    if (count > INT32_MAX - 1)
        return err_set(e, ERR_INPUT, "%zu messages are too many", count);
    struct chat_message *messages = mem_array(count + 1, sizeof *messages);
    struct chat_pieces pieces = {0};
    int rc = 0;
    for (size_t i = 0; i < count && !rc; i++) {
        rc = read_message(&messages[i], json_array_get(list, i), e);
        if (rc)
            err_prefix(e, "messages[%zu]", i);
    }
    if (!rc)
        rc = chat_template_render(r->chat, messages, (int)count, r->system_prompt, false, &pieces, e);
    if (!rc)
        add_pieces(d, r->tokenizer, &pieces);
    chat_pieces_release(&pieces);
    mem_free(messages);
    return rc;
}

static int from_chat(struct document *d, const struct document_rules *r, const json_t *object, struct err *e)
{
    const json_t *list = json_object_get(object, "messages");
    if (!list)
        return err_set(e, ERR_INPUT, "no key \"messages\"; it must be there and a list of messages");
    if (!json_is_array(list))
        return err_set(e, ERR_INPUT, "\"messages\" is %s; it must be a list of messages", type_name(list));
    return refuse_key(object, "tools", e) || render(d, r, list, e) ? -1 : 0;
}

static int from_object(struct document *d, const struct document_rules *r, enum data_format format,
                       const json_t *object, struct err *e)
{
    if (!json_is_object(object))
        return err_set(e, ERR_INPUT, "the line is %s; it must be an object", type_name(object));
    switch (format) {
    case DATA_TEXT:
        return from_text_object(d, r, object, e);
    case DATA_COMPLETION:
        d->whole = true;
        return from_completion(d, r, object, e);
    case DATA_CHAT:
        d->whole = true;
        return from_chat(d, r, object, e);
    }
    return err_set(e, ERR_BUG, "data format %d", (int)format);
}

int document_from_json(struct document *d, const struct document_rules *r, enum data_format format, const char *line,
                       size_t size, struct err *e)
{
    struct strbuf repaired;
    strbuf_init(&repaired);
    if (utf8_valid_prefix(line, size) != size) {
        enum { REPLACEMENT_BYTES = 3 };
        size_t parts = utf8_append_repaired(&repaired, line, size);
        d->bytes_replaced += (int64_t)(size + parts * REPLACEMENT_BYTES - repaired.size);
        line = repaired.data;
        size = repaired.size;
    }
    json_error_t trouble;
    json_t *object = json_loadb(line, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &trouble);
    int rc;
    if (object)
        rc = from_object(d, r, format, object, e);
    else
        rc = err_set(e, ERR_INPUT, "not a line of JSON: %s at column %d", trouble.text, trouble.column);
    json_decref(object);
    strbuf_release(&repaired);
    return rc;
}
