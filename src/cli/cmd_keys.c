/* retort keys [SECTION]: the reference of every job key, from the table that parses it. */
#include "cli/console.h"
#include "cli/program.h"
#include "conf/job.h"

int cmd_keys(int argc, char **argv, struct err *e)
{
    const char *section[1] = {NULL};
    static const char *const names[] = {"SECTION"};
    const struct option options[] = {{0}};
    const struct command_line line = {
        .command = "keys",
        .usage = "[SECTION]",
        .about = "Prints every key of a job: type, choices or range, default, help.",
        .options = options,
        .positional = section,
        .positional_names = names,
        .positional_most = 1,
    };
    int rc;
    if (!program_options(&line, argc, argv, &rc, e))
        return rc;
    struct strbuf out;
    strbuf_init(&out);
    rc = job_keys(section[0], &out, e);
    if (!rc)
        console_print(out.data, out.size);
    strbuf_release(&out);
    return rc;
}
