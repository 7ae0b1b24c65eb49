#include "job/solo.h"

#include "base/mem.h"
#include "job/threads.h"
#include "kern/isa.h"
#include "par/agree.h"

static int start(const struct comm *world, int threads, struct err *e)
{
    struct comm host;
    comm_split_host(&host, world);
    int automatic = thread_share(&host).threads;
    comm_free(&host);
    isa_use((enum isa)comm_min(world, isa_best()));
    gemm_start(threads ? threads : automatic, e);
    return agree(world, e);
}

/* Tokens of the longest document that the model is exact for: attention has no sliding window, and up to its width
 * there is nothing that it would hide. */
static int64_t model_limit(const struct model_config *c)
{
    return c->sliding_window && c->sliding_window < c->max_positions ? c->sliding_window : c->max_positions;
}

/* Local. What the config alone tells: how many positions, which adapter. */
static int read_options(const struct solo_options *o, struct model_options *options, struct err *e)
{
    struct model_files *files;
    if (model_files_open_config(&files, o->model, e))
        return -1;
    int64_t limit = model_limit(model_files_config(files));
    model_files_close(files);
    options->precision = o->precision;
    options->forward_only = o->forward_only;
    options->keep = o->keep;
    options->keep_count = o->keep_count;
    options->positions = o->positions ? o->positions : limit < o->most ? limit : o->most;
    return o->adapter ? adapter_config_read(&options->adapter, o->adapter, e) : 0;
}

int solo_open(struct solo *s, const struct comm *world, const struct solo_options *o, struct err *e)
{
    *s = (struct solo){.world = world};
    struct model_options options = {0};
    if (start(world, o->threads, e))
        return -1;
    if (!read_options(o, &options, e))
        tokenizer_open(&s->tokenizer, o->model, e);
    int rc = agree(world, e);
    if (!rc)
        rc = model_open(&s->model, o->model, &options, world, "--model", e);
    if (!rc && o->adapter)
        rc = model_load_adapter(s->model, o->adapter, e);
    if (o->adapter && options.adapter.rank)
        adapter_config_release(&options.adapter);
    if (rc)
        solo_close(s);
    return rc;
}

void solo_close(struct solo *s)
{
    model_close(s->model);
    tokenizer_close(s->tokenizer);
    gemm_stop();
    *s = (struct solo){0};
}
