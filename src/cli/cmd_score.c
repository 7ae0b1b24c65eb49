/* retort score: how likely a model finds a text. */
#include <string.h>

#include "cli/console.h"
#include "cli/model_options.h"
#include "cli/program.h"
#include "job/score.h"

int cmd_score(int argc, char **argv, struct err *e)
{
    static const char *const formats[] = {"text", "completion", "chat", NULL};
    struct score_options s = {.solo = {.most = 2048}};
    int format = DATA_TEXT, precision = 0, rc;
    int64_t length = 0, threads = 0;
    const struct option options[] = {
        {"--model", OPTION_TEXT, &s.solo.model, "PATH", "Hugging Face directory or .gguf file", NULL, true},
        {"--adapter", OPTION_TEXT, &s.solo.adapter, "DIR", "PEFT adapter directory", NULL, false},
        {"--data", OPTION_TEXT, &s.data.path, "FILE", "a .txt file is one document, a .jsonl file one a line", NULL,
         true},
        {"--format", OPTION_CHOICE, &format, "FORMAT", "what the file holds (text)", formats, false},
        {"--template", OPTION_TEXT, &s.template_name, "NAME", "chat template, where the model's own is unknown", NULL,
         false},
        {"--sequence-length", OPTION_INTEGER, &length, "N", "tokens of a window (the model's limit, at most 2048)",
         NULL, false},
        {"--precision", OPTION_CHOICE, &precision, "P", "what GEMM operands are rounded to (f32)", precision_names,
         false},
        {"--threads", OPTION_INTEGER, &threads, "N", "threads of each rank (the cores that it has)", NULL, false},
        {"--per-token", OPTION_FLAG, &s.per_token, NULL, "with --json: ids and log-probabilities of every window", NULL,
         false},
        {"--json", OPTION_FLAG, &s.json, NULL, "one JSON document", NULL, false},
        {0},
    };
    const struct command_line line = {
        .command = "score",
        .usage = "--model M [--adapter A] --data F [options]",
        .about = "Log-probabilities of documents: mean negative log-likelihood (natural log), perplexity, next-token "
                 "accuracy.",
        .options = options,
    };
    if (!program_options(&line, argc, argv, &rc, e))
        return rc;
    if (length == 1)
        return err_set(e, ERR_USAGE, "--sequence-length: windows of 1 token have nothing to score");
    s.data.format = (enum data_format)format;
    s.solo.precision = model_precision(precision);
    s.solo.positions = length;
    s.solo.threads = (int)threads;
    struct strbuf out;
    strbuf_init(&out);
    rc = score_run(program_world(), &s, &out, e);
    if (!rc)
        console_print(out.data, out.size);
    strbuf_release(&out);
    return rc;
}
