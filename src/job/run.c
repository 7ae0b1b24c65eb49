#include "job/run.h"

#include <string.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "job/modes.h"
#include "par/agree.h"

/* The same text on every rank: the job is. */
static int refuse_unbuilt(const struct job *job, struct err *e)
{
    struct strbuf missing;
    strbuf_init(&missing);
    int n = job_unbuilt(job, &missing);
    for (size_t i = 0; i < missing.size; i++)
        if (missing.data[i] == '\n')
            missing.data[i] = i + 1 < missing.size ? ';' : 0;
    if (n)
        err_set(e, ERR_USAGE, "%s", missing.data);
    strbuf_release(&missing);
    return n ? -1 : 0;
}

/* Both are about checkpoints, which only training has: ignored, they would promise what does not happen. */
static int check_options(const struct job *job, const struct run_options *options, struct err *e)
{
    const bool trains = job->mode == MODE_DISTILL || job->mode == MODE_FINETUNE;
    if (trains || !(options->fresh || options->resume))
        return 0;
    const char *option = options->fresh ? "--fresh" : "--resume";
    if (job->mode == MODE_PRECOMPUTE)
        return err_set(e, ERR_USAGE, "%s is for training: mode precompute always goes on from what labels.store holds",
                       option);
    return err_set(e, ERR_USAGE, "%s is for training: mode evaluate always runs anew", option);
}

static void log_warnings(const struct job *job)
{
    struct strbuf lines;
    strbuf_init(&lines);
    job_warnings(job, &lines);
    char *rest = lines.data;
    for (char *line; (line = strsep(&rest, "\n")) && *line;)
        log_warning("%s", line);
    strbuf_release(&lines);
}

/* ranks.after_cache: join. The run goes on in the same processes, as if it had been stopped and started again with
 * labels.source: store: what layouts a checkpoint may be resumed on is the same question. */
static int join(struct context *c, struct err *e)
{
    const struct comm *world = c->world;
    const int64_t step = c->join_step;
    struct job joined = *c->job;
    struct run_options options = *c->options;
    joined.labels.source = SOURCE_STORE;
    joined.labels.cache = false;
    options.role = ROLE_ANY;
    context_close(c);
    if (context_open(c, world, &joined, &options, e))
        return -1;
    const int rc = mode_train_on(c, step, e);
    context_close(c);
    return rc;
}

int job_run(const struct comm *world, const struct job *job, const struct run_options *options, struct err *e)
{
    struct context c;
    if (refuse_unbuilt(job, e) || check_options(job, options, e) || context_open(&c, world, job, options, e))
        return -1;
    if (c.root)
        log_warnings(job);
    int (*const modes[])(struct context *, struct err *) = {
        [MODE_DISTILL] = mode_train,
        [MODE_PRECOMPUTE] = mode_precompute,
        [MODE_FINETUNE] = mode_train,
        [MODE_EVALUATE] = mode_evaluate,
    };
    const int rc = modes[job->mode](&c, e);
    if (!rc && c.join_step)
        return join(&c, e);
    context_close(&c);
    return rc;
}
