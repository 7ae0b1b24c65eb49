#include "job/run_directory.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "job/output_directory.h"
#include "learn/checkpoint.h"

const char *run_directory_result(const struct job *job)
{
    return job->student.method == METHOD_FULL ? "model" : "adapter";
}

/* The job whose directory this is; NULL with e clear if there is none. */
static struct job *job_of_directory(const char *output, struct err *e)
{
    char *path = file_join(output, "job.yaml");
    struct file_map map = {0};
    struct job *old = NULL;
    if (file_exists(path) && !file_map_open(&map, path, e)) {
        if (job_parse(&old, (const char *)map.data, map.size, path, NULL, 0, e))
            err_prefix(e, "the run directory's own job (--fresh replaces it)");
        file_map_close(&map);
    }
    mem_free(path);
    return old;
}

static int write_job(const struct job *job, struct err *e)
{
    struct strbuf text;
    strbuf_init(&text);
    job_print(job, &text);
    char *path = file_join(job->output, "job.yaml");
    int rc = file_write(path, text.data, text.size, e);
    mem_free(path);
    strbuf_release(&text);
    return rc;
}

static int compare(const struct job *old, const struct job *job, struct err *e)
{
    struct strbuf differing;
    strbuf_init(&differing);
    int rc = 0;
    if (!job_same_run(old, job, &differing))
        rc = err_set(e, ERR_USAGE,
                     "%s: %s holds the run of another job; these keys differ: %s. Choose another output, or --fresh to "
                     "replace it",
                     job_where(job, "output"), job->output, differing.data);
    strbuf_release(&differing);
    return rc;
}

/* What is there belongs to this job: finished, or to be gone on with. */
static void find_start(struct run_start *start, const struct job *old, const struct job *job)
{
    char *result = file_join(job->output, run_directory_result(job));
    int64_t newest = checkpoint_newest(job->output);
    start->finished = file_exists(result) && job->train.steps <= old->train.steps;
    start->checkpoint = newest <= job->train.steps ? newest : 0;
    mem_free(result);
}

static bool holds(const char *output, const char *name)
{
    char *path = file_join(output, name);
    bool there = file_exists(path);
    mem_free(path);
    return there;
}

/* A run that ended before training began (a model that could not be read) has done nothing that a corrected job would
 * lose. */
static bool has_begun(const char *output)
{
    return holds(output, "metrics.jsonl") || holds(output, "checkpoints");
}

/* The directory is one of ours. An evaluation may stand there before any run, or only the log of one that failed. */
static bool is_run_directory(const char *output)
{
    return holds(output, "job.yaml") || holds(output, "evaluation.json") || holds(output, EVALUATION_LOG);
}

static int replace(const struct job *job, struct err *e)
{
    log_info("%s: replaced (--fresh)", job->output);
    return file_remove_tree(job->output, e);
}

int run_directory_begin(struct run_start *start, const struct job *job, const struct run_options *options,
                        struct err *e)
{
    *start = (struct run_start){0};
    struct job *old = NULL;
    int rc = 0;
    if (file_exists(job->output) && !directory_is_empty(job->output)) {
        if (!is_run_directory(job->output))
            rc = err_set(e, ERR_USAGE, "%s: %s is not empty and no run directory; choose another output",
                         job_where(job, "output"), job->output);
        if (!rc && options->fresh)
            rc = replace(job, e);
        else if (!rc && has_begun(job->output))
            old = job_of_directory(job->output, e);
        if (e->code != ERR_NONE)
            rc = -1;
    }
    if (!rc && old) {
        rc = compare(old, job, e);
        if (!rc)
            find_start(start, old, job);
    }
    job_free(old);
    if (!rc && options->resume && !start->finished && !start->checkpoint)
        rc = err_set(e, ERR_USAGE, "--resume: %s holds no checkpoint", job->output);
    if (!rc && !start->finished) {
        rc = file_make_directories(job->output, e);
        if (!rc)
            rc = write_job(job, e);
    }
    return rc;
}

void run_directory_log(const struct job *job, const struct run_options *options, const char *name)
{
    char *path = file_join(job->output, name);
    options->observer->log(options->observer->context, path);
    mem_free(path);
}
