#include "job/label_store.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "fmt/fingerprint.h"

/* Ids behind the last one that takes part are the same as none. */
static uint64_t hash_of_mask(const uint64_t *allowed, int64_t end)
{
    return hash64(allowed, (size_t)((end + 63) / 64) * sizeof *allowed);
}

static int name_model(const struct job *job, const char *key, const char *path, uint64_t *hash, char *name, size_t room,
                      struct err *e)
{
    if (!path)
        return 0;
    snprintf(name, room, "%s", file_name(path));
    if (!fingerprint(path, hash, e))
        return 0;
    context_locate(job, key, e);
    return -1;
}

static int name_teacher(struct store_description *d, const struct job *job, struct err *e)
{
    static const char *const precisions[] = {
        [JOB_F32] = "f32", [JOB_BF16] = "bf16", [JOB_INT8] = "int8", [JOB_NF4] = "nf4"};
    snprintf(d->precision, sizeof d->precision, "%s", precisions[job->teacher.precision]);
    snprintf(d->version, sizeof d->version, "%s", RETORT_VERSION);
    if (name_model(job, "teacher.model", job->teacher.model, &d->teacher, d->teacher_name, sizeof d->teacher_name, e))
        return -1;
    return name_model(job, "teacher.adapter", job->teacher.adapter, &d->adapter, d->adapter_name,
                      sizeof d->adapter_name, e);
}

int label_store_description(struct store_description *d, const struct context *c, bool writes, struct err *e)
{
    *d = (struct store_description){
        .label = context_label_spec(c),
        .tokenizer = tokenizer_hash(c->tokenizer),
        .corpus = c->corpus_key,
        .sequence_length = c->job->data.sequence_length,
        .vocabulary = (uint32_t)c->allowed_end,
        .vocabulary_mask = hash_of_mask(c->allowed, c->allowed_end),
    };
    for (enum split s = SPLIT_TRAIN; s < SPLIT_COUNT; s++)
        d->sequences[s] = corpus_count(c->corpus, s);
    return writes ? name_teacher(d, c->job, e) : 0;
}

void label_store_warn(const struct store *s, const struct job *job)
{
    const unsigned long long seed = store_description(s)->label.seed;
    if (seed != (uint64_t)job->labels.seed)
        log_info("labels.store: its labels were drawn with labels.seed %llu", seed);
    for (int i = 0; i < store_parts(s); i++) {
        const struct store_part part = store_part(s, i);
        if (!part.sealed)
            log_warning("labels.store: another job writes here, or was killed: %s of %s has not changed for %.0f s; "
                        "both go on",
                        part.name, *part.owner ? part.owner : "an unknown owner", part.seconds_unchanged);
    }
}

char *label_store_owner(const char *what, const char *name)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    return mem_printf("host %s, process %ld, %s %s", host, (long)getpid(), what, name);
}
