#include "job/score.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "fmt/json_fields.h"
#include "learn/loss.h"
#include "learn/micro_batch.h"
#include "par/agree.h"

struct scoring {
    const struct score_options *o;
    struct solo solo;
    struct tape *tape;
    struct loss *loss;
    struct micro_batch batch;
    float *h;
    double *logp;            /* [window] of the batch's label positions */
    double *of_token;        /* [window]: NAN where none */
    struct strbuf sequences; /* JSON, with per_token */
    int64_t tokens, supervised, correct;
    double nll;
};

static int64_t window(const struct scoring *s)
{
    return s->solo.model->options.positions;
}

/* --- one window --- */

static void print_window(struct scoring *s, const uint32_t *ids, const unsigned char *supervised, int64_t n)
{
    struct strbuf *out = &s->sequences;
    strbuf_adds(out, out->size ? ", {\"ids\": [" : "{\"ids\": [");
    for (int64_t i = 0; i < n; i++)
        strbuf_printf(out, "%s%u", i ? ", " : "", ids[i]);
    strbuf_adds(out, "], \"supervised\": [");
    for (int64_t i = 0; i < n; i++)
        strbuf_printf(out, "%s%d", i ? ", " : "", i > 0 && supervised[i]);
    strbuf_adds(out, "], \"logprobs\": [");
    for (int64_t i = 0; i < n; i++)
        if (i == 0)
            strbuf_adds(out, "null");
        else
            strbuf_printf(out, ", %.9g", s->of_token[i]);
    strbuf_adds(out, "]}");
}

/* Every token but the first is a target for the model; those supervised count. */
static void score_window(struct scoring *s, const uint32_t *ids, const unsigned char *supervised, int64_t n)
{
    const struct model *m = s->solo.model;
    unsigned char *all = mem_array((size_t)n, 1);
    const int32_t starts[2] = {0, (int32_t)n};
    int labels = 0;
    for (int64_t i = 1; i < n; i++) {
        all[i] = s->o->per_token || supervised[i];
        labels += all[i];
    }
    struct sequence seq = {
        .tokens = (int)n, .documents = 1, .labels = labels, .ids = ids, .starts = starts, .supervised = all};
    micro_batch_clear(&s->batch);
    micro_batch_add(&s->batch, &seq, 0, NULL);
    struct batch b = micro_batch_view(&s->batch);
    model_forward(m, s->tape, &b);
    model_final_norm(m, s->tape, s->batch.rows, s->batch.n, s->h);
    unsigned char *correct = mem_array((size_t)n, 1);
    loss_log_probabilities(s->loss, s->h, s->batch.targets, s->batch.n, s->logp, correct);
    for (int64_t k = 0; k < s->batch.n; k++) {
        int64_t target = s->batch.rows[k] + 1;
        s->of_token[target] = s->logp[k];
        if (!supervised[target])
            continue;
        s->nll -= s->logp[k];
        s->supervised++;
        s->correct += correct[k];
    }
    s->tokens += n;
    if (s->o->per_token)
        print_window(s, ids, supervised, n);
    mem_free(all);
    mem_free(correct);
}

static int score_document(void *context, struct document *d, struct err *e)
{
    (void)e;
    struct scoring *s = context;
    int64_t n = (int64_t)d->ids.count, w = window(s);
    for (int64_t at = 0; at < n; at += w)
        score_window(s, d->ids.ids + at, d->supervised + at, n - at < w ? n - at : w);
    return 0;
}

/* --- the whole --- */

static int open_scoring(struct scoring *s, struct err *e)
{
    const struct model *m = s->solo.model;
    struct loss_spec spec = {.temperature = 1, .beta = 1};
    int64_t w = window(s);
    s->tape = tape_new(m, w, TAPE_INFERENCE, e);
    if (s->tape)
        s->loss = loss_new(m, &spec, w, e);
    if (agree(s->solo.world, e))
        return -1;
    micro_batch_init(&s->batch, w);
    s->h = mem_array((size_t)(w * m->config.hidden_size), sizeof *s->h);
    s->logp = mem_array((size_t)w, sizeof *s->logp);
    s->of_token = mem_array((size_t)w, sizeof *s->of_token);
    return 0;
}

static void close_scoring(struct scoring *s)
{
    tape_free(s->tape);
    loss_free(s->loss);
    micro_batch_release(&s->batch);
    mem_free(s->h);
    mem_free(s->logp);
    mem_free(s->of_token);
    strbuf_release(&s->sequences);
    solo_close(&s->solo);
}

static int read_data(struct scoring *s, struct err *e)
{
    struct document_rules rules;
    const struct score_options *o = s->o;
    if (document_rules_init(&rules, s->solo.tokenizer, o->data.format == DATA_CHAT, o->template_name, NULL, true, e) ||
        document_read_file(&o->data, &rules, score_document, s, e))
        return -1;
    if (!s->supervised)
        return err_set(e, ERR_INPUT, "%s: no token to score", o->data.path);
    return 0;
}

static void add_path(struct strbuf *out, const char *path)
{
    if (path)
        json_put_text(out, path, strlen(path));
    else
        strbuf_adds(out, "null");
}

static void print_result(const struct scoring *s, struct strbuf *out)
{
    double n = (double)s->supervised, nll = s->nll / n, accuracy = (double)s->correct / n;
    if (!s->o->json) {
        strbuf_printf(out, "%lld tokens, %lld supervised: nll %.6f, perplexity %.4f, accuracy %.4f\n",
                      (long long)s->tokens, (long long)s->supervised, nll, exp(nll), accuracy);
        return;
    }
    strbuf_adds(out, "{\"model\": ");
    add_path(out, s->o->solo.model);
    strbuf_adds(out, ", \"adapter\": ");
    add_path(out, s->o->solo.adapter);
    strbuf_printf(out,
                  ", \"tokens\": %lld, \"supervised_tokens\": %lld, \"nll\": %.9g, \"perplexity\": %.9g, "
                  "\"accuracy\": %.9g",
                  (long long)s->tokens, (long long)s->supervised, nll, exp(nll), accuracy);
    if (s->o->per_token)
        strbuf_printf(out, ", \"sequences\": [%s]", s->sequences.data);
    strbuf_adds(out, "}\n");
}

int score_run(const struct comm *world, const struct score_options *o, struct strbuf *out, struct err *e)
{
    struct scoring s = {.o = o};
    strbuf_init(&s.sequences);
    struct solo_options options = o->solo;
    options.forward_only = true;
    if (solo_open(&s.solo, world, &options, e))
        return -1;
    int rc = open_scoring(&s, e);
    if (!rc) {
        read_data(&s, e);
        rc = agree(world, e);
    }
    if (!rc && world->rank == 0)
        print_result(&s, out);
    close_scoring(&s);
    return rc;
}
