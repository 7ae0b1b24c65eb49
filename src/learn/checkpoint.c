#include "learn/checkpoint.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/shard_file.h"
#include "par/agree.h"

enum { PLANES = 3 };
static const char *const plane_prefix[PLANES] = {"", "exp_avg.", "exp_avg_sq."};

static char *step_path(const char *run_directory, int64_t step, const char *suffix)
{
    return mem_printf("%s/checkpoints/step-%06lld%s", run_directory, (long long)step, suffix);
}

static char *plane_name(int plane, const struct param *p)
{
    return mem_printf("%s%s", plane_prefix[plane], p->name);
}

/* index[plane * params + i]: the plan's index of parameter i. */
static struct safetensors_plan *make_plan(const struct model *m, int *index)
{
    struct safetensors_plan *plan = safetensors_plan_new();
    for (int plane = 0; plane < PLANES; plane++)
        for (int i = 0; i < m->param_count; i++) {
            const struct param *p = &m->params[i];
            int64_t shape[2];
            if (!p->trainable)
                continue;
            int rank = param_file_shape(p, shape);
            char *name = plane_name(plane, p);
            index[plane * m->param_count + i] = safetensors_plan_add(plan, name, DTYPE_F32, rank, shape);
            mem_free(name);
        }
    return plan;
}

/* Every rank writes what it owns of each plane: the work is spread, and no element is written twice. */
static void write_runs(struct shard_file *f, const int *index, const struct optimizer *o, struct err *e)
{
    const struct model *m = o->model;
    for (int i = 0; i < o->count && e->code == ERR_NONE; i++) {
        const struct owned_run *r = &o->runs[i];
        const float *values[PLANES] = {m->trainable + r->first, o->m + r->state, o->v + r->state};
        for (int plane = 0; plane < PLANES; plane++)
            shard_file_write(f, index[plane * m->param_count + (int)(r->p - m->params)], DTYPE_F32, r->p, values[plane],
                             r->first - r->p->offset, r->end - r->p->offset, e);
    }
}

static int write_state(const char *directory, const struct optimizer *o, const struct groups *g, struct err *e)
{
    int *index = mem_array((size_t)(PLANES * o->model->param_count), sizeof *index);
    struct safetensors_plan *plan = make_plan(o->model, index);
    char *path = file_join(directory, "state.safetensors");
    struct shard_file *f;
    int rc = shard_file_create(&f, path, plan, &g->group, e);
    if (!rc) {
        write_runs(f, index, o, e);
        rc = shard_file_commit(f, e);
    }
    mem_free(path);
    safetensors_plan_free(plan);
    mem_free(index);
    return rc;
}

static int64_t step_of_name(const char *name)
{
    char *end;
    if (strncmp(name, "step-", 5))
        return 0;
    long long step = strtoll(name + 5, &end, 10);
    return *end ? 0 : step;
}

/* The newest step below `below`; 0: none. A directory under a temporary name is no checkpoint. */
static int64_t newest_below(const char *run_directory, int64_t below)
{
    char *path = file_join(run_directory, "checkpoints");
    DIR *d = opendir(path);
    int64_t newest = 0;
    for (struct dirent *entry; d && (entry = readdir(d));) {
        int64_t step = step_of_name(entry->d_name);
        if (step > newest && step < below)
            newest = step;
    }
    if (d)
        closedir(d);
    mem_free(path);
    return newest;
}

int64_t checkpoint_newest(const char *run_directory)
{
    return newest_below(run_directory, INT64_MAX);
}

/* An old checkpoint that cannot be removed is worth a warning, not the run. */
static void remove_old(const char *run_directory, int64_t step, int keep)
{
    for (int kept = 0; keep > 0 && step > 0; kept++, step = newest_below(run_directory, step)) {
        if (kept < keep)
            continue;
        struct err e = {0};
        char *path = step_path(run_directory, step, "");
        if (file_remove_tree(path, &e))
            log_warning("%s", e.text);
        mem_free(path);
        if (e.code != ERR_NONE)
            return;
    }
}

static int begin(const char *temporary, struct err *e)
{
    if (file_remove_tree(temporary, e))
        return -1;
    return file_make_directories(temporary, e);
}

static int finish(const char *run_directory, const char *temporary, const char *final, int64_t step, struct err *e)
{
    char *path = file_join(temporary, "state.json"), *parent = file_join(run_directory, "checkpoints");
    char *text = mem_printf("{\"step\": %lld}\n", (long long)step);
    int rc = file_write(path, text, strlen(text), e);
    if (!rc)
        rc = file_sync_directory(temporary, e);
    if (!rc)
        rc = file_remove_tree(final, e);
    if (!rc && rename(temporary, final))
        rc = err_errno(e, "%s: cannot rename to it", final);
    if (!rc)
        rc = file_sync_directory(parent, e);
    mem_free(text);
    mem_free(parent);
    mem_free(path);
    return rc;
}

int checkpoint_save(const char *run_directory, int64_t step, const struct optimizer *o, const struct groups *g,
                    int keep, struct err *e)
{
    char *final = step_path(run_directory, step, ""), *temporary = step_path(run_directory, step, ".tmp");
    if (g->group.rank == 0)
        begin(temporary, e);
    int rc = agree(&g->group, e);
    if (!rc)
        rc = write_state(temporary, o, g, e);
    if (!rc) {
        if (g->group.rank == 0 && !finish(run_directory, temporary, final, step, e))
            remove_old(run_directory, step, keep);
        rc = agree(&g->group, e);
    }
    mem_free(temporary);
    mem_free(final);
    return rc;
}

static int read_plane(const struct safetensors *s, int plane, const struct param *p, float *values, int64_t first,
                      int64_t end, const char *path, struct err *e)
{
    char *name = plane_name(plane, p);
    const struct tensor *t = safetensors_find(s, name);
    int rc = t ? shard_read(p, values, first, end, t, path, e)
               : err_set(e, ERR_INPUT, "%s: tensor %s is missing", path, name);
    mem_free(name);
    return rc;
}

static int read_state(const char *path, const struct model *m, struct optimizer *o, struct err *e)
{
    struct safetensors *s;
    if (safetensors_open(&s, path, e))
        return -1;
    int rc = 0;
    for (int i = 0; i < m->param_count && !rc; i++) {
        const struct param *p = &m->params[i];
        if (p->trainable)
            rc = read_plane(s, 0, p, m->trainable + p->offset, 0, param_elements(p), path, e);
    }
    for (int i = 0; o && i < o->count && !rc; i++) {
        const struct owned_run *r = &o->runs[i];
        int64_t first = r->first - r->p->offset, end = r->end - r->p->offset;
        rc = read_plane(s, 1, r->p, o->m + r->state, first, end, path, e);
        if (!rc)
            rc = read_plane(s, 2, r->p, o->v + r->state, first, end, path, e);
    }
    safetensors_close(s);
    return rc;
}

int checkpoint_load(const char *run_directory, int64_t step, const struct model *m, struct optimizer *o,
                    const struct comm *readers, struct err *e)
{
    char *path = step_path(run_directory, step, "/state.safetensors");
    read_state(path, m, o, e);
    mem_free(path);
    return agree(readers, e);
}
