/* retort export: a model for other programs. */
#include "cli/model_options.h"
#include "cli/program.h"
#include "job/export.h"

int cmd_export(int argc, char **argv, struct err *e)
{
    static const char *const formats[] = {"hf", NULL};
    struct export_options x = {.solo = {.positions = 1}};
    int dtype = 0, format = 0, rc;
    const struct option options[] = {
        {"--model", OPTION_TEXT, &x.solo.model, "PATH", "Hugging Face directory or .gguf file", NULL, true},
        {"--adapter", OPTION_TEXT, &x.solo.adapter, "DIR", "PEFT adapter directory, merged into the weights", NULL,
         false},
        {"--format", OPTION_CHOICE, &format, "F", "what to write (hf)", formats, false},
        {"--dtype", OPTION_CHOICE, &dtype, "T", "type of the written weights (f32)", dtype_names, false},
        {"--out", OPTION_TEXT, &x.out, "DIR", "a new directory", NULL, true},
        {0},
    };
    const struct command_line line = {
        .command = "export",
        .usage = "--model M [--adapter A] --format hf --out DIR",
        .about = "Writes the model, an adapter merged into it, as a Hugging Face directory.",
        .options = options,
    };
    if (!program_options(&line, argc, argv, &rc, e))
        return rc;
    x.dtype = model_dtype(dtype);
    return export_run(program_world(), &x, e);
}
