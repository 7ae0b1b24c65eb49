#include "job/generate.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/template.h"
#include "fmt/json_fields.h"
#include "par/agree.h"
#include "par/sum.h"

struct generation {
    const struct generate_options *o;
    struct solo solo;
    struct tape *tape;
    struct kv_cache *cache;
    struct token_list prompt, made;
    float *logits; /* [vocabulary]: this shard's part in its place, zero elsewhere, then summed */
    struct rng rng;
    struct strbuf text; /* of what was made, as far as it is decoded */
    bool stopped;       /* by an end-of-text token */
};

/* --- the prompt --- */

static int render_chat(const struct generation *g, struct strbuf *text, struct err *e)
{
    const struct chat_template *t;
    const struct generate_options *o = g->o;
    struct chat_message message = {"user", o->prompt};
    struct chat_pieces pieces = {0};
    if (chat_template_find(&t, o->template_name, g->solo.tokenizer, e) ||
        chat_template_render(t, &message, 1, o->system_prompt, true, &pieces, e))
        return -1;
    for (int i = 0; i < pieces.count; i++)
        strbuf_adds(text, pieces.items[i].text);
    chat_pieces_release(&pieces);
    return 0;
}

/* BOS where the tokenizer's own settings add it and the text does not begin with it. */
static void add_bos(struct generation *g, const char *text)
{
    const struct tokenizer *t = g->solo.tokenizer;
    if (!tokenizer_adds_bos(t) || tokenizer_bos(t) < 0)
        return;
    const char *piece = tokenizer_piece(t, (uint32_t)tokenizer_bos(t));
    if (!piece || strncmp(text, piece, strlen(piece)))
        token_list_add(&g->prompt, (uint32_t)tokenizer_bos(t));
}

static int read_prompt(struct generation *g, struct err *e)
{
    struct strbuf text;
    strbuf_init(&text);
    int rc = 0;
    if (g->o->chat)
        rc = render_chat(g, &text, e);
    else
        strbuf_adds(&text, g->o->prompt);
    if (!rc) {
        add_bos(g, text.data);
        tokenizer_encode(g->solo.tokenizer, text.data, text.size, &g->prompt, NULL);
    }
    strbuf_release(&text);
    if (!rc && !g->prompt.count)
        rc = err_set(e, ERR_USAGE, "--prompt: it has no token");
    int64_t limit = g->solo.model->options.positions;
    if (!rc && (int64_t)g->prompt.count >= limit)
        rc = err_set(e, ERR_USAGE, "--prompt: its %zu tokens fill the model's %lld positions", g->prompt.count,
                     (long long)limit);
    return rc;
}

/* --- tokens --- */

static uint32_t most_likely(const float *logits, int64_t V)
{
    int64_t best = 0;
    for (int64_t i = 1; i < V; i++)
        if (logits[i] > logits[best])
            best = i;
    return (uint32_t)best;
}

static uint32_t draw(const float *logits, int64_t V, double temperature, double u)
{
    double max = logits[most_likely(logits, V)], sum = 0, at = 0;
    for (int64_t i = 0; i < V; i++)
        sum += exp((logits[i] - max) / temperature);
    for (int64_t i = 0; i < V; i++) {
        at += exp((logits[i] - max) / temperature);
        if (at > u * sum)
            return (uint32_t)i;
    }
    return most_likely(logits, V);
}

/* Runs ids through the model; every rank gets the whole row of logits and so the same next token. */
static uint32_t next_token(struct generation *g, const uint32_t *ids, int64_t n)
{
    const struct model *m = g->solo.model;
    int64_t V = m->config.vocab_size;
    memset(g->logits, 0, (size_t)V * sizeof *g->logits);
    model_decode(m, g->tape, g->cache, ids, n, g->logits + m->shard.vocab.first);
    sum_f32(&m->shards, g->logits, V);
    if (g->o->temperature <= 0)
        return most_likely(g->logits, V);
    return draw(g->logits, V, g->o->temperature, rng_uniform(&g->rng));
}

static bool ends(const struct generation *g, uint32_t id)
{
    const struct tokenizer *t = g->solo.tokenizer;
    return (int64_t)id == tokenizer_eos(t) || (int64_t)id == g->solo.model->config.eos_token_id;
}

/* How much of the text is whole UTF-8: the last token may end inside a character. */
static size_t whole_characters(const struct strbuf *s)
{
    size_t at = s->size, back = 0;
    while (at > 0 && back < 4 && ((unsigned char)s->data[at - 1] & 0xC0) == 0x80)
        at--, back++;
    if (at == 0)
        return s->size;
    unsigned char lead = (unsigned char)s->data[at - 1];
    size_t need = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    return need > back ? at - 1 : s->size;
}

static void show(struct generation *g, bool last)
{
    size_t shown = g->text.size;
    struct strbuf now;
    strbuf_init(&now);
    tokenizer_decode(g->solo.tokenizer, g->made.ids, g->made.count, true, &now);
    size_t end = last ? now.size : whole_characters(&now);
    if (end > shown) {
        strbuf_add(&g->text, now.data + shown, end - shown);
        if (g->o->text && g->solo.world->rank == 0)
            g->o->text(g->o->context, now.data + shown, end - shown);
    }
    strbuf_release(&now);
}

static void run(struct generation *g)
{
    int64_t room = g->solo.model->options.positions - (int64_t)g->prompt.count;
    int64_t most = g->o->max_tokens < room ? g->o->max_tokens : room;
    uint32_t id = next_token(g, g->prompt.ids, (int64_t)g->prompt.count);
    while ((int64_t)g->made.count < most) {
        g->stopped = ends(g, id);
        if (g->stopped)
            break;
        token_list_add(&g->made, id);
        show(g, false);
        if ((int64_t)g->made.count < most)
            id = next_token(g, &id, 1);
    }
    show(g, true);
}

/* --- the whole --- */

static void print_ids(struct strbuf *out, const char *name, const struct token_list *l)
{
    strbuf_printf(out, "\"%s\": [", name);
    for (size_t i = 0; i < l->count; i++)
        strbuf_printf(out, "%s%u", i ? ", " : "", l->ids[i]);
    strbuf_adds(out, "], ");
}

static void print_result(const struct generation *g, struct strbuf *out)
{
    strbuf_addc(out, '{');
    print_ids(out, "prompt_ids", &g->prompt);
    print_ids(out, "ids", &g->made);
    strbuf_adds(out, "\"text\": ");
    json_put_text(out, g->text.data, g->text.size);
    strbuf_printf(out, ", \"finish\": \"%s\"}\n", g->stopped ? "stop" : "length");
}

static int open_generation(struct generation *g, struct err *e)
{
    const struct model *m = g->solo.model;
    if (!read_prompt(g, e)) {
        int64_t n = (int64_t)g->prompt.count, wanted = n + g->o->max_tokens;
        g->tape = tape_new(m, n, TAPE_INFERENCE, e);
        if (g->tape)
            g->cache = kv_cache_new(m, wanted < m->options.positions ? wanted : m->options.positions, e);
        g->logits = mem_array((size_t)m->config.vocab_size, sizeof *g->logits);
        rng_init(&g->rng, g->o->seed, 0);
    }
    return agree(g->solo.world, e);
}

int generate_run(const struct comm *world, const struct generate_options *o, struct strbuf *out, struct err *e)
{
    struct generation g = {.o = o};
    strbuf_init(&g.text);
    struct solo_options options = o->solo;
    options.forward_only = true;
    if (solo_open(&g.solo, world, &options, e))
        return -1;
    int rc = open_generation(&g, e);
    if (!rc) {
        run(&g);
        if (o->json && world->rank == 0)
            print_result(&g, out);
    }
    strbuf_release(&g.text);
    token_list_release(&g.prompt);
    token_list_release(&g.made);
    mem_free(g.logits);
    kv_cache_free(g.cache);
    tape_free(g.tape);
    solo_close(&g.solo);
    return rc;
}
