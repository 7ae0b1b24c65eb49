/* retort check JOB: the resolved job, or what is wrong with it; nothing is run. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/console.h"
#include "cli/job_file.h"
#include "cli/program.h"
#include "job/run.h"

/* Each line of text as a warning. */
static void warn_lines(char *text)
{
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        log_warning("%s", line);
}

static void warn(const struct job *job)
{
    struct strbuf text;
    strbuf_init(&text);
    job_unbuilt(job, &text);
    job_warnings(job, &text);
    warn_lines(text.data);
    strbuf_release(&text);
}

static int check_path(const struct job *job, const struct job_path *p, bool files, struct err *e)
{
    if (file_exists(p->path))
        return 0;
    if (files)
        return err_set(e, ERR_INPUT, "%s: %s does not exist", job_where(job, p->key), p->path);
    log_warning("%s: %s does not exist", job_where(job, p->key), p->path);
    return 0;
}

/* Missing inputs: warnings, with --files errors. */
static int check_files(const struct job *job, bool files, struct err *e)
{
    int n = job_input_paths(job, NULL, 0), rc = 0;
    struct job_path *paths = mem_array((size_t)n, sizeof *paths);
    job_input_paths(job, paths, n);
    for (int i = 0; i < n && !rc; i++)
        rc = check_path(job, &paths[i], files, e);
    mem_free(paths);
    return rc;
}

static int check_layout(const struct job *job, int64_t ranks, struct err *e)
{
    struct group_shape teacher, student;
    enum group_plan plan = job_plan(job, &teacher, &student);
    return ranks ? groups_resolve(&teacher, &student, plan, (int)ranks, e) : 0;
}

int cmd_check(int argc, char **argv, struct err *e)
{
    const char *path[1] = {NULL};
    struct option_list set = {0};
    int64_t ranks = 0;
    bool files = false;
    int rc;
    const struct option options[] = {
        {"--set", OPTION_LIST, &set, "KEY=VALUE", "overrides a key of the job; may be repeated", NULL, false},
        {"--ranks", OPTION_INTEGER, &ranks, "N", "check that the job fits a launch of N ranks", NULL, false},
        {"--files", OPTION_FLAG, &files, NULL, "missing models and data are errors, not warnings", NULL, false},
        {0},
    };
    static const char *const names[] = {"JOB"};
    const struct command_line line = {
        .command = "check",
        .usage = "JOB [--set key=value]... [--ranks N] [--files]",
        .about = "Prints the job with every key resolved, or file:line:column, what is wrong and what is allowed.",
        .options = options,
        .positional = path,
        .positional_names = names,
        .positional_least = 1,
        .positional_most = 1,
    };
    if (!program_options(&line, argc, argv, &rc, e))
        return rc;
    struct job *job = NULL;
    rc = job_file_read(&job, path[0], &set, NULL, e);
    if (!rc)
        rc = check_layout(job, ranks, e);
    if (!rc)
        rc = check_files(job, files, e);
    if (!rc) {
        struct strbuf out;
        strbuf_init(&out);
        job_print(job, &out);
        console_print(out.data, out.size);
        strbuf_release(&out);
        warn(job);
    }
    job_free(job);
    option_list_release(&set);
    return rc;
}
