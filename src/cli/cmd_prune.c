/* retort prune: a student made of some of a teacher's layers. */
#include "cli/model_options.h"
#include "cli/program.h"
#include "job/prune.h"

int cmd_prune(int argc, char **argv, struct err *e)
{
    struct prune_options p = {0};
    int dtype = 0, rc;
    const struct option options[] = {
        {"--model", OPTION_TEXT, &p.model, "PATH", "Hugging Face directory or .gguf file", NULL, true},
        {"--layers", OPTION_TEXT, &p.layers, "LIST", "such as 0,3,6 or 0-9: the blocks to keep, in this order", NULL,
         true},
        {"--out", OPTION_TEXT, &p.out, "DIR", "a new directory", NULL, true},
        {"--dtype", OPTION_CHOICE, &dtype, "T", "type of the written weights (f32)", dtype_names, false},
        {0},
    };
    const struct command_line line = {
        .command = "prune",
        .usage = "--model M --layers 0,3,6 --out DIR",
        .about = "Writes a Hugging Face directory with some of the model's blocks: a student to be trained.",
        .options = options,
    };
    if (!program_options(&line, argc, argv, &rc, e))
        return rc;
    p.dtype = model_dtype(dtype);
    return prune_run(program_world(), &p, e);
}
