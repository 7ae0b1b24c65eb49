/* What concerns several keys: values that follow from others, contradictions, warnings, what this build lacks, and the
 * paths that a mode reads. */
#include "conf/job.h"

#include "base/utf8.h"
#include <math.h>
#include <string.h>

#include "conf/field.h"
#include "conf/given.h"
#include "conf/text.h"

static bool reads(const struct job *job, unsigned modes)
{
    return modes >> job->mode & 1;
}

static bool is_given(const struct job *job, const char *key)
{
    return given_find(job->memory, key).kind != SPOT_NONE;
}

bool job_needs_teacher(const struct job *job)
{
    bool from_store = job->mode == MODE_DISTILL && job->labels.source == SOURCE_STORE;
    return !from_store || job->labels.encoding.kind == ENCODING_HIDDEN;
}

static void fill_in(struct job *job, const char *stem)
{
    struct job_memory *m = job->memory;
    if (!job->name)
        job->name = arena_strdup(&m->arena, stem);
    if (!job->output)
        job->output = path_resolve(&m->arena, "runs", job->name);
    if (isnan(job->distill.beta))
        job->distill.beta = 1 - job->distill.alpha;
    if (job->mode == MODE_EVALUATE && job->labels.source == SOURCE_STORE)
        job->labels.source = SOURCE_LOCAL; /* exact labels are in no store (SEMANTICS, Who runs what) */
    if (job->labels.encoding.kind == ENCODING_HIDDEN && !is_given(job, "labels.encoding.values"))
        job->labels.encoding.values = JOB_VALUES_F16; /* the default is for probabilities */
}

static bool is_required(const struct job *job, const struct field *f)
{
    if (!reads(job, f->required))
        return false;
    if (!strcmp(f->key, "teacher.model"))
        return job_needs_teacher(job);
    if (!strcmp(f->key, "train.steps"))
        return !(job->mode == MODE_PRECOMPUTE && job->labels.whole_corpus);
    return true;
}

static int check_required(const struct job *job, struct err *e)
{
    const struct field *f;
    for (int i = 0; (f = field_at(i)); i++) {
        if (!is_required(job, f) || !field_is_default(f, job))
            continue;
        struct field wanted = *f;
        wanted.none = NULL; /* "or null" would be no help here */
        struct strbuf expected;
        strbuf_init(&expected);
        f->type->expected(&wanted, &expected);
        job_refuse(job, f->key, e, "is missing; mode: %s needs it: %s", field_choice(field_find("mode"), job)->name,
                   expected.data);
        strbuf_release(&expected);
        return -1;
    }
    return 0;
}

/* It names a directory: one that is made, not one that is somewhere else. */
static int check_name(const struct job *job, struct err *e)
{
    const char *n = job->name;
    if (strchr(n, '/') || strchr(n, '\n') || !strcmp(n, ".") || !strcmp(n, "..") || !utf8_is_valid(n))
        return job_refuse(job, "name", e, "a name has no slash and no newline, and is not . or ..");
    return 0;
}

static int check_tokens(const struct job *job, struct err *e)
{
    long long length = job->data.sequence_length, batch = job->train.batch_tokens,
              micro = job->train.micro_batch_tokens;
    if (!reads(job, field_find("train.batch_tokens")->modes))
        return 0;
    if (batch % length)
        return job_refuse(job, "train.batch_tokens", e, "%lld is no multiple of data.sequence_length, which is %lld",
                          batch, length);
    if (micro % length)
        return job_refuse(job, "train.micro_batch_tokens", e,
                          "%lld is no multiple of data.sequence_length, which is %lld", micro, length);
    return 0;
}

static int check_labels(const struct job *job, struct err *e)
{
    if (job->labels.encoding.kind == ENCODING_HIDDEN && job->labels.encoding.values == JOB_VALUES_U8)
        return job_refuse(job, "labels.encoding.values", e, "kind: hidden takes f16 or f32, not u8");
    if (job->mode != MODE_DISTILL || job->labels.store)
        return 0;
    if (job->labels.source == SOURCE_STORE)
        return job_refuse(job, "labels.store", e, "is missing; labels.source: store reads it");
    if (job->labels.cache)
        return job_refuse(job, "labels.store", e, "is missing; labels.cache: true writes it");
    return 0;
}

static int check_weights(const struct job *job, struct err *e)
{
    if (job->mode != MODE_DISTILL)
        return 0;
    if (job->distill.beta < 0)
        return job_refuse(job, "distill.alpha", e,
                          "above 1 it leaves a negative weight to the cross-entropy; give distill.beta");
    if (job->distill.alpha == 0 && job->distill.beta == 0)
        return job_refuse(job, "distill.beta", e, "alpha and beta are both 0: nothing would be learned");
    return 0;
}

static int check_ranks(const struct job *job, struct err *e)
{
    bool both = (job->mode == MODE_DISTILL || job->mode == MODE_EVALUATE) && job->labels.source == SOURCE_STREAM;
    if (both && job->ranks.teacher.replicas == 0 && job->ranks.student.replicas == 0)
        return job_refuse(job, "ranks.teacher.replicas", e,
                          "auto for teacher and student at once; give a number to one");
    return 0;
}

int job_resolve(struct job *job, const char *stem, struct err *e)
{
    fill_in(job, stem);
    int (*const checks[])(const struct job *, struct err *) = {check_required, check_name,    check_tokens,
                                                               check_labels,   check_weights, check_ranks};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (checks[i](job, e))
            return -1;
    return 0;
}

static bool is_noisy(const struct job *job)
{
    const bool draws = job->labels.encoding.kind == ENCODING_SAMPLED || job->labels.encoding.kind == ENCODING_RANDOM;
    return reads(job, field_find("distill.temperature")->modes) && draws && job->distill.temperature > 1;
}

static bool never_warms_up(const struct job *job)
{
    return reads(job, field_find("train.schedule.warmup_steps")->modes) &&
           job->train.schedule.warmup_steps > job->train.steps;
}

static bool caches_nothing(const struct job *job)
{
    return job->mode == MODE_DISTILL && job->labels.cache && job->labels.source != SOURCE_STREAM;
}

int job_warnings(const struct job *job, struct strbuf *out)
{
    if (is_noisy(job))
        strbuf_printf(
            out,
            "%s: drawn labels are noisy above 1, where the teacher is flat; use 1, kind: hidden, or threshold 0.05 "
            "with large batches\n",
            job_where(job, "distill.temperature"));
    if (never_warms_up(job))
        strbuf_printf(out,
                      "%s: %lld is more than train.steps, which is %lld: the learning rate never reaches its peak\n",
                      job_where(job, "train.schedule.warmup_steps"), (long long)job->train.schedule.warmup_steps,
                      (long long)job->train.steps);
    if (caches_nothing(job))
        strbuf_printf(out, "%s: only streamed labels are cached; labels.source is %s\n", job_where(job, "labels.cache"),
                      field_choice(field_find("labels.source"), job)->name);
    return is_noisy(job) + never_warms_up(job) + caches_nothing(job);
}

int job_unbuilt(const struct job *job, struct strbuf *out)
{
    int count = 0;
    const struct field *f;
    for (int i = 0; (f = field_at(i)); i++) {
        const struct choice *c = field_choice(f, job);
        bool unbuilt = c ? c->unbuilt : (f->flags & FIELD_UNBUILT) && !field_is_default(f, job);
        if (!unbuilt || !reads(job, f->modes))
            continue;
        strbuf_printf(out, "%s: ", job_where(job, f->key));
        field_print(f, job, out);
        strbuf_adds(out, " is not built yet\n");
        count++;
    }
    return count;
}

/* Paths as they are found, counted beyond the room as well. */
struct path_list {
    struct job_path *out;
    int room, count;
};

static void add_path(struct path_list *l, const char *key, const char *path)
{
    if (path && l->count < l->room)
        l->out[l->count] = (struct job_path){key, path};
    l->count += path != NULL;
}

static void add_files(struct path_list *l, const struct job *job, const char *key, const struct job_files *files)
{
    struct job_memory *m = job->memory;
    for (int i = 0; i < files->count; i++)
        add_path(l, arena_printf(&m->arena, "%s[%d].path", key, i), files->items[i].path);
}

int job_input_paths(const struct job *job, struct job_path *out, int room)
{
    struct path_list l = {out, room, 0};
    const struct field *f;
    for (int i = 0; (f = field_at(i)); i++) {
        const void *at = (const char *)job + f->offset;
        if (!reads(job, f->modes) || (key_is_below(f->key, "teacher") && !job_needs_teacher(job)))
            continue;
        if (f->type == &type_input)
            add_path(&l, f->key, *(char *const *)at);
        else if (f->type == &type_files)
            add_files(&l, job, f->key, at);
    }
    if (job->mode == MODE_DISTILL && job->labels.source == SOURCE_STORE)
        add_path(&l, "labels.store", job->labels.store);
    return l.count;
}
