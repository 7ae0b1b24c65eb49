/* retort inspect PATH: what a path is, and what is in it. */
#include "cli/console.h"
#include "cli/program.h"
#include "job/inspect.h"

int cmd_inspect(int argc, char **argv, struct err *e)
{
    const char *path[1] = {NULL};
    bool json = false;
    int64_t record = -1;
    int rc;
    const struct option options[] = {
        {"--record", OPTION_INTEGER, &record, "SEQ_ID", "of a label store: the decoded labels of this sequence", NULL,
         false},
        {"--json", OPTION_FLAG, &json, NULL, "one JSON document", NULL, false},
        {0},
    };
    static const char *const names[] = {"PATH"};
    const struct command_line line = {
        .command = "inspect",
        .usage = "PATH [--record SEQ_ID] [--json]",
        .about =
            "Says what a model, adapter, checkpoint, run directory, .safetensors file, label store, file of one or "
            "label record is and what it holds.",
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
    const uint64_t seq_id = (uint64_t)record;
    rc = inspect_path(path[0], json, record < 0 ? NULL : &seq_id, &out, e);
    if (!rc)
        console_print(out.data, out.size);
    strbuf_release(&out);
    return rc;
}
