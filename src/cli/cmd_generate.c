/* retort generate: continue a prompt. */
#include "cli/console.h"
#include "cli/model_options.h"
#include "cli/program.h"
#include "job/generate.h"

static void print_text(void *context, const char *bytes, size_t size)
{
    (void)context;
    console_print(bytes, size);
}

int cmd_generate(int argc, char **argv, struct err *e)
{
    struct generate_options g = {.solo = {.most = 1 << 20}, .max_tokens = 128};
    int precision = 0, rc;
    int64_t threads = 0, seed = 0;
    const struct option options[] = {
        {"--model", OPTION_TEXT, &g.solo.model, "PATH", "Hugging Face directory or .gguf file", NULL, true},
        {"--adapter", OPTION_TEXT, &g.solo.adapter, "DIR", "PEFT adapter directory", NULL, false},
        {"--prompt", OPTION_TEXT, &g.prompt, "TEXT", "what to continue", NULL, true},
        {"--chat", OPTION_FLAG, &g.chat, NULL, "the prompt is a user's message in the model's chat template", NULL,
         false},
        {"--template", OPTION_TEXT, &g.template_name, "NAME", "chat template, where the model's own is unknown", NULL,
         false},
        {"--system", OPTION_TEXT, &g.system_prompt, "TEXT", "with --chat: the system message", NULL, false},
        {"--max-tokens", OPTION_INTEGER, &g.max_tokens, "N", "at most this many new tokens (128)", NULL, false},
        {"--temperature", OPTION_NUMBER, &g.temperature, "T", "0: the most likely token each time (0)", NULL, false},
        {"--seed", OPTION_INTEGER, &seed, "N", "of the draws at a temperature above 0 (0)", NULL, false},
        {"--precision", OPTION_CHOICE, &precision, "P", "what GEMM operands are rounded to (f32)", precision_names,
         false},
        {"--threads", OPTION_INTEGER, &threads, "N", "threads of each rank (the cores that it has)", NULL, false},
        {"--json", OPTION_FLAG, &g.json, NULL, "one JSON document instead of the text", NULL, false},
        {0},
    };
    const struct command_line line = {
        .command = "generate",
        .usage = "--model M [--adapter A] --prompt P [options]",
        .about = "Continues a prompt with a key/value cache.",
        .options = options,
    };
    if (!program_options(&line, argc, argv, &rc, e))
        return rc;
    g.solo.precision = model_precision(precision);
    g.solo.threads = (int)threads;
    g.seed = (uint64_t)seed;
    g.text = g.json ? NULL : print_text;
    struct strbuf out;
    strbuf_init(&out);
    rc = generate_run(program_world(), &g, &out, e);
    if (!rc && !g.json && program_speaks())
        console_print("\n", 1);
    if (!rc)
        console_print(out.data, out.size);
    strbuf_release(&out);
    return rc;
}
