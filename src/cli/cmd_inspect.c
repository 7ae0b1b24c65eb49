/* retort inspect PATH: what a path is, and what is in it. */
#include "cli/console.h"
#include "cli/program.h"
#include "job/inspect.h"

int cmd_inspect(int argc, char **argv, struct err *e)
{
    const char *path[1] = {NULL};
    bool json = false;
    int rc;
    const struct option options[] = {
        {"--json", OPTION_FLAG, &json, NULL, "one JSON document", NULL, false},
        {0},
    };
    static const char *const names[] = {"PATH"};
    const struct command_line line = {
        .command = "inspect",
        .usage = "PATH [--json]",
        .about = "Says what a model, adapter, checkpoint, run directory, .safetensors file or label record is and what "
                 "it holds.",
        .options = options,
        .positional = path,
        .positional_names = names,
        .positional_least = 1,
        .positional_most = 1,
    };
    if (!program_options(&line, argc, argv, &rc, e))
        return rc;
    struct strbuf out;
    strbuf_init(&out);
    rc = inspect_path(path[0], json, &out, e);
    if (!rc)
        console_print(out.data, out.size);
    strbuf_release(&out);
    return rc;
}
