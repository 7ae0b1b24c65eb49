/* Conversations as text: one row of the template table and a list of messages make supervised and other pieces. */
#include <string.h>

#include "base/mem.h"
#include "data/template.h"
#include "data/template_table.h"
#include "data/text.h"

void chat_pieces_release(struct chat_pieces *p)
{
    for (int i = 0; i < p->count; i++)
        mem_free(p->items[i].text);
    mem_free(p->items);
    *p = (struct chat_pieces){0};
}

/* A conversation under way: the messages with their system message in front, and what is written so far. */
struct render {
    const struct chat_template *t;
    const struct chat_message *messages;
    int count;
    int last_query; /* index of the last user message that is no tool's answer */
    struct strbuf plain;
    struct chat_pieces *out;
};

static bool is(const struct chat_message *m, const char *role)
{
    return strcmp(m->role, role) == 0;
}

static void add_piece(struct chat_pieces *out, struct strbuf *text, bool supervised)
{
    if (!text->size)
        return;
    out->items = mem_resize(out->items, (size_t)out->count + 1, sizeof *out->items);
    out->items[out->count++] = (struct chat_piece){strbuf_detach(text), supervised};
}

static void add_trimmed(struct strbuf *out, const char *text, bool trim)
{
    size_t n = strlen(text);
    if (trim)
        text = text_trim(text, &n);
    strbuf_add(out, text, n);
}

static void render_plain(struct render *r, const struct chat_turn *turn, const char *preamble, const char *content)
{
    strbuf_adds(&r->plain, turn->open);
    strbuf_adds(&r->plain, preamble);
    strbuf_adds(&r->plain, turn->lead);
    add_trimmed(&r->plain, content, turn->trim);
    strbuf_adds(&r->plain, turn->close);
    strbuf_adds(&r->plain, turn->after);
}

/* [text, text + n) without the newlines around it. */
static const char *strip_newlines(const char *text, size_t *n)
{
    while (*n && *text == '\n') {
        text++;
        --*n;
    }
    while (*n && text[*n - 1] == '\n')
        --*n;
    return text;
}

static const char *find_last(const char *text, size_t n, const char *what)
{
    size_t w = strlen(what);
    for (size_t i = n; i >= w; i--)
        if (memcmp(text + i - w, what, w) == 0)
            return text + i;
    return NULL;
}

/* Qwen3 cuts a content at its </think>: the thoughts are what stands between the last <think> before the first </think>
 * and that; the answer is what follows the last </think>. Thoughts are kept after the last query only, and the very
 * last turn gets a think block even if it is empty. */
static void think(const struct render *r, int i, struct strbuf *out)
{
    const char *content = r->messages[i].content, *thoughts = "";
    size_t n = strlen(content), thoughts_size = 0;
    const char *end = strstr(content, "</think>");
    if (end) {
        thoughts = content;
        thoughts_size = (size_t)(end - content);
        const char *begin = find_last(content, thoughts_size, "<think>");
        if (begin) {
            thoughts = begin;
            thoughts_size = (size_t)(end - begin);
        }
        thoughts = strip_newlines(thoughts, &thoughts_size);
        const char *answer = find_last(content, n, "</think>");
        answer += strspn(answer, "\n");
        n -= (size_t)(answer - content);
        content = answer;
    }
    if (i > r->last_query && (i == r->count - 1 || thoughts_size)) {
        strbuf_adds(out, "<think>\n");
        strbuf_add(out, thoughts, thoughts_size);
        strbuf_adds(out, "\n</think>\n\n");
        size_t newlines = strspn(content, "\n");
        content += newlines;
        n -= newlines;
    }
    strbuf_add(out, content, n);
}

static void render_assistant(struct render *r, int i)
{
    const struct chat_turn *turn = &r->t->assistant;
    strbuf_adds(&r->plain, turn->open);
    add_piece(r->out, &r->plain, false);

    struct strbuf said;
    strbuf_init(&said);
    strbuf_adds(&said, turn->lead);
    if (r->t->thinks)
        think(r, i, &said);
    else
        add_trimmed(&said, r->messages[i].content, turn->trim);
    strbuf_adds(&said, turn->close);
    add_piece(r->out, &said, true);
    strbuf_release(&said);
    strbuf_adds(&r->plain, turn->after);
}

static void render_turns(struct render *r)
{
    for (int i = 0; i < r->count; i++) {
        const struct chat_message *m = &r->messages[i];
        if (is(m, "system"))
            render_plain(r, &r->t->system, i == 0 ? r->t->preamble : "", m->content);
        else if (is(m, "user"))
            render_plain(r, &r->t->user, "", m->content);
        else
            render_assistant(r, i);
    }
}

/* The templates without a system turn: its text becomes part of a user's content, and trimming sees both together. */
static void render_alternating(struct render *r)
{
    const char *system = is(&r->messages[0], "system") ? r->messages[0].content : NULL;
    const int first = system ? 1 : 0;
    const int host = r->t->placement == SYSTEM_IN_FIRST_USER ? first : r->last_query;
    for (int i = first; i < r->count; i++) {
        if (is(&r->messages[i], "assistant")) {
            render_assistant(r, i);
            continue;
        }
        struct strbuf content;
        strbuf_init(&content);
        if (system && i == host) {
            strbuf_adds(&content, r->t->system.open);
            strbuf_adds(&content, system);
            strbuf_adds(&content, r->t->system.close);
        }
        strbuf_adds(&content, r->messages[i].content);
        render_plain(r, &r->t->user, "", content.data);
        strbuf_release(&content);
    }
}

static int check_roles(const struct render *r, struct err *e)
{
    const bool alternating = r->t->placement != SYSTEM_TURN;
    const int first = is(&r->messages[0], "system") ? 1 : 0;
    for (int i = 0; i < r->count; i++) {
        const struct chat_message *m = &r->messages[i];
        if (!is(m, "system") && !is(m, "user") && !is(m, "assistant"))
            return err_set(e, ERR_INPUT, "role \"%.40s\" is not supported; roles are system, user and assistant",
                           m->role);
        if (alternating && i >= first && !is(m, (i - first) % 2 == 0 ? "user" : "assistant"))
            return err_set(e, ERR_INPUT,
                           "template %s wants user and assistant in turn after an optional system message; message %d "
                           "is the %s's",
                           r->t->name, i - first + 1, m->role);
    }
    if (alternating && first == r->count)
        return err_set(e, ERR_INPUT, "template %s puts the system message into a user's, and there is none",
                       r->t->name);
    return 0;
}

static bool is_tool_response(const char *content)
{
    const char *open = "<tool_response>", *close = "</tool_response>";
    size_t n = strlen(content), w = strlen(close);
    return strncmp(content, open, strlen(open)) == 0 && n >= w && strcmp(content + n - w, close) == 0;
}

static int find_last_query(const struct render *r)
{
    for (int i = r->count - 1; i >= 0; i--)
        if (is(&r->messages[i], "user") && !(r->t->thinks && is_tool_response(r->messages[i].content)))
            return i;
    return r->count - 1;
}

int chat_template_render(const struct chat_template *t, const struct chat_message *messages, int count,
                         const char *system_prompt, bool generation, struct chat_pieces *out, struct err *e)
{
    if (count <= 0)
        return err_set(e, ERR_INPUT, "a conversation without messages");
    const char *system = system_prompt ? system_prompt : t->default_system;
    const bool add = system && !is(&messages[0], "system");
    struct chat_message *list = mem_array((size_t)count + 1, sizeof *list);
    list[0] = (struct chat_message){"system", system};
    memcpy(list + (add ? 1 : 0), messages, (size_t)count * sizeof *list);

    struct chat_pieces pieces = {0};
    struct render r = {.t = t, .messages = list, .count = count + (add ? 1 : 0), .out = &pieces};
    strbuf_init(&r.plain);
    int rc = check_roles(&r, e);
    if (!rc) {
        r.last_query = find_last_query(&r);
        strbuf_adds(&r.plain, t->bos);
        if (t->placement == SYSTEM_TURN)
            render_turns(&r);
        else
            render_alternating(&r);
        if (generation)
            strbuf_adds(&r.plain, t->assistant.open);
        add_piece(&pieces, &r.plain, false);
        *out = pieces;
    }
    strbuf_release(&r.plain);
    mem_free(list);
    return rc;
}
