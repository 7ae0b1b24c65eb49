/* retort data JOB: the packed sequences of a step as a person would check them. */
#include <stdio.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "cli/console.h"
#include "cli/job_file.h"
#include "cli/program.h"
#include "data/order.h"
#include "job/job_corpus.h"
#include "job/run.h"

struct viewing {
    const struct job *job;
    struct tokenizer *tokenizer;
    struct corpus *corpus;
    enum split split;
    int64_t step;
    bool json, colour;
};

/* --- output --- */

static void print_json(const struct sequence *s, const char *separator, struct strbuf *out)
{
    strbuf_printf(out, "%s{\"seq_id\": %llu, \"ids\": [", separator, (unsigned long long)s->id);
    for (int i = 0; i < s->tokens; i++)
        strbuf_printf(out, "%s%u", i ? ", " : "", s->ids[i]);
    strbuf_adds(out, "], \"documents\": [");
    for (int i = 0; i < s->documents; i++)
        strbuf_printf(out, "%s%d", i ? ", " : "", s->starts[i]);
    strbuf_adds(out, "], \"supervised\": [");
    for (int i = 0; i < s->tokens; i++)
        strbuf_printf(out, "%s%d", i ? ", " : "", s->supervised[i]);
    strbuf_adds(out, "]}");
}

/* A run of tokens that are all supervised or all not; marks are colour on a terminal, brackets elsewhere. */
static void print_run(const struct viewing *v, const struct sequence *s, int first, int end, struct strbuf *out)
{
    struct strbuf text;
    strbuf_init(&text);
    tokenizer_decode(v->tokenizer, s->ids + first, (size_t)(end - first), false, &text);
    bool marked = s->supervised[first];
    if (marked)
        strbuf_adds(out, v->colour ? "\033[1;32m" : "[[");
    utf8_append_repaired(out, text.data, text.size);
    if (marked)
        strbuf_adds(out, v->colour ? "\033[0m" : "]]");
    strbuf_release(&text);
}

static void print_text(const struct viewing *v, const struct sequence *s, struct strbuf *out)
{
    strbuf_printf(out, "== sequence %llu: %d tokens, %d documents, %d supervised\n",
                  (unsigned long long)sequence_index(s->id), s->tokens, s->documents, s->labels);
    for (int d = 0; d < s->documents; d++) {
        strbuf_printf(out, "-- document at %d\n", s->starts[d]);
        for (int i = s->starts[d], end; i < s->starts[d + 1]; i = end) {
            for (end = i + 1; end < s->starts[d + 1] && s->supervised[end] == s->supervised[i]; end++)
                ;
            print_run(v, s, i, end, out);
        }
        strbuf_adds(out, "\n");
    }
}

/* --- which sequences --- */

static void print_sequences(const struct viewing *v, struct strbuf *out)
{
    int64_t n = corpus_count(v->corpus, v->split), count = n;
    int64_t B = v->job->train.batch_tokens / v->job->data.sequence_length;
    if (v->split == SPLIT_TRAIN)
        count = B;
    if (v->json)
        strbuf_printf(out, "{\"sequence_length\": %d, \"sequences\": [", v->job->data.sequence_length);
    for (int64_t i = 0; i < count; i++) {
        int64_t index = v->split == SPLIT_TRAIN ? order_index((uint64_t)v->job->seed, (v->step - 1) * B + i, n) : i;
        struct sequence s = corpus_sequence(v->corpus, v->split, index);
        if (v->json)
            print_json(&s, i ? ", " : "", out);
        else
            print_text(v, &s, out);
    }
    if (v->json)
        strbuf_adds(out, "]}\n");
}

static int open_corpus(struct viewing *v, struct err *e)
{
    struct corpus_spec spec;
    uint64_t key;
    job_corpus_spec(&spec, v->job);
    int rc = corpus_key(&spec, v->tokenizer, &key, e);
    if (!rc) {
        char *path = job_corpus_path(key);
        rc = job_corpus_build(&spec, v->tokenizer, path, key, e);
        if (!rc)
            rc = corpus_open(&v->corpus, path, key, e);
        mem_free(path);
    }
    job_corpus_release(&spec);
    return rc;
}

static int view(struct viewing *v, struct err *e)
{
    const char *key = v->job->student.model ? "student.model" : "teacher.model";
    const char *model = v->job->student.model ? v->job->student.model : v->job->teacher.model;
    if (tokenizer_open(&v->tokenizer, model, e)) {
        err_prefix(e, "%s", job_where(v->job, key));
        return -1;
    }
    int rc = open_corpus(v, e);
    if (!rc && !corpus_count(v->corpus, v->split))
        rc = err_set(e, ERR_USAGE, "--split: the job has no data in this split");
    if (!rc) {
        struct strbuf out;
        strbuf_init(&out);
        print_sequences(v, &out);
        console_print(out.data, out.size);
        strbuf_release(&out);
    }
    corpus_close(v->corpus);
    tokenizer_close(v->tokenizer);
    return rc;
}

int cmd_data(int argc, char **argv, struct err *e)
{
    static const char *const splits[] = {"train", "validation", NULL};
    const char *path[1] = {NULL};
    struct option_list set = {0};
    struct viewing v = {.step = 1, .colour = console_output_is_terminal()};
    int split = SPLIT_TRAIN, rc;
    const struct option options[] = {
        {"--set", OPTION_LIST, &set, "KEY=VALUE", "overrides a key of the job; may be repeated", NULL, false},
        {"--split", OPTION_CHOICE, &split, "S", "which data (train)", splits, false},
        {"--step", OPTION_INTEGER, &v.step, "N", "the training step, from 1 (1)", NULL, false},
        {"--json", OPTION_FLAG, &v.json, NULL, "one JSON document", NULL, false},
        {0},
    };
    static const char *const names[] = {"JOB"};
    const struct command_line line = {
        .command = "data",
        .usage = "JOB [--split S] [--step N] [--json]",
        .about = "The packed sequences of a step (or of the whole validation split): text with what is supervised "
                 "marked, document bounds.",
        .options = options,
        .positional = path,
        .positional_names = names,
        .positional_least = 1,
        .positional_most = 1,
    };
    if (!program_options(&line, argc, argv, &rc, e))
        return rc;
    v.split = (enum split)split;
    struct job *job = NULL;
    if (v.step < 1)
        rc = err_set(e, ERR_USAGE, "--step: steps count from 1");
    else
        rc = job_file_read(&job, path[0], &set, NULL, e);
    v.job = job;
    if (!rc)
        rc = view(&v, e);
    job_free(job);
    option_list_release(&set);
    return rc;
}
