/* The logits of packed sequences as a model of ours has them, for the comparison with PyTorch; no command prints
 * logits.
 *
 *     dump_logits MODEL ADAPTER|- SEQUENCES.json OUT.safetensors        (under mpirun the ranks are the model's shards)
 *
 * SEQUENCES.json is what `retort data JOB --step N --json` prints. OUT holds one tensor for each sequence, named by its
 * seq_id: [labels, vocabulary] in f32, the rows at which a label stands. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "fmt/json_fields.h"
#include "job/solo.h"
#include "learn/micro_batch.h"
#include "model/shard_file.h"
#include "par/agree.h"
#include "par/failure.h"
#include "par/progress.h"
#include "par/sum.h"

/* One sequence with arrays of its own, as the corpus would give it. */
struct packed {
    struct sequence s;
    uint32_t *ids;
    int32_t *starts;
    unsigned char *supervised;
};

struct dump {
    struct solo solo;
    struct packed *sequences;
    int count;
    int64_t longest;
};

/* --- reading --- */

static int64_t number_at(const json_t *array, size_t i)
{
    return (int64_t)json_integer_value(json_array_get(array, i));
}

static void read_sequence(struct packed *p, const json_t *object)
{
    const json_t *ids = json_object_get(object, "ids"), *starts = json_object_get(object, "documents");
    const json_t *supervised = json_object_get(object, "supervised");
    size_t n = json_array_size(ids), documents = json_array_size(starts);
    p->ids = mem_array(n, sizeof *p->ids);
    p->supervised = mem_array(n, 1);
    p->starts = mem_array(documents + 1, sizeof *p->starts);
    p->s = (struct sequence){.id = (uint64_t)json_integer_value(json_object_get(object, "seq_id")),
                             .tokens = (int)n,
                             .documents = (int)documents,
                             .ids = p->ids,
                             .starts = p->starts,
                             .supervised = p->supervised};
    for (size_t i = 0; i < n; i++) {
        p->ids[i] = (uint32_t)number_at(ids, i);
        p->supervised[i] = (unsigned char)number_at(supervised, i);
        p->s.labels += p->supervised[i];
    }
    for (size_t i = 0; i < documents; i++)
        p->starts[i] = (int32_t)number_at(starts, i);
    p->starts[documents] = (int32_t)n;
}

static int read_sequences(struct dump *d, const char *path, struct err *e)
{
    struct file_map map;
    if (file_map_open(&map, path, e))
        return -1;
    json_t *whole = json_parse_object((const char *)map.data, map.size, path, e);
    file_map_close(&map);
    if (!whole)
        return -1;
    const json_t *list = json_object_get(whole, "sequences");
    d->count = (int)json_array_size(list);
    d->sequences = mem_array((size_t)d->count, sizeof *d->sequences);
    for (int i = 0; i < d->count; i++) {
        read_sequence(&d->sequences[i], json_array_get(list, (size_t)i));
        if (d->sequences[i].s.tokens > d->longest)
            d->longest = d->sequences[i].s.tokens;
    }
    json_decref(whole);
    return d->count ? 0 : err_set(e, ERR_INPUT, "%s: no sequences", path);
}

/* --- computing and writing --- */

/* Only what shard_file_write looks at: this shard holds all rows of its part of the vocabulary. */
static struct param logits_param(const struct model *m, int64_t rows)
{
    return (struct param){
        .global_rows = rows, .global_cols = m->config.vocab_size, .rows = {0, rows}, .cols = m->shard.vocab};
}

static int write_logits(const struct model *m, struct tape *t, struct micro_batch *b, struct shard_file *f, int index,
                        struct err *e)
{
    struct batch view = micro_batch_view(b);
    struct param p = logits_param(m, b->n);
    float *h = mem_array((size_t)(b->n * m->config.hidden_size), sizeof *h);
    float *logits = mem_array((size_t)param_elements(&p), sizeof *logits);
    model_forward(m, t, &view);
    model_final_norm(m, t, b->rows, b->n, h);
    model_logits(m, h, b->n, logits);
    int rc = shard_file_write(f, index, DTYPE_F32, &p, logits, 0, param_elements(&p), e);
    mem_free(logits);
    mem_free(h);
    return rc;
}

static struct safetensors_plan *make_plan(const struct dump *d)
{
    struct safetensors_plan *plan = safetensors_plan_new();
    for (int i = 0; i < d->count; i++) {
        char *name = mem_printf("%llu", (unsigned long long)d->sequences[i].s.id);
        int64_t shape[2] = {d->sequences[i].s.labels, d->solo.model->config.vocab_size};
        safetensors_plan_add(plan, name, DTYPE_F32, 2, shape);
        mem_free(name);
    }
    return plan;
}

static int write_all(struct dump *d, const char *path, struct err *e)
{
    struct shard_file *f;
    struct micro_batch b;
    struct safetensors_plan *plan = make_plan(d);
    struct tape *t = tape_new(d->solo.model, d->longest, TAPE_INFERENCE, e);
    micro_batch_init(&b, d->longest);
    int rc = agree(d->solo.world, e);
    if (!rc)
        rc = shard_file_create(&f, path, plan, d->solo.world, e);
    if (!rc) {
        for (int i = 0; i < d->count; i++) {
            micro_batch_clear(&b);
            micro_batch_add(&b, &d->sequences[i].s, i, NULL);
            write_logits(d->solo.model, t, &b, f, i, e);
        }
        rc = shard_file_commit(f, e);
    }
    micro_batch_release(&b);
    tape_free(t);
    safetensors_plan_free(plan);
    return rc;
}

static int dump(const struct comm *world, char **argv, struct err *e)
{
    struct dump d = {.count = 0};
    read_sequences(&d, argv[3], e);
    const struct solo_options o = {.model = argv[1],
                                   .adapter = strcmp(argv[2], "-") ? argv[2] : NULL,
                                   .precision = PRECISION_F32,
                                   .positions = d.longest};
    int rc = agree(world, e);
    if (!rc)
        rc = solo_open(&d.solo, world, &o, e);
    if (!rc) {
        rc = write_all(&d, argv[4], e);
        solo_close(&d.solo);
    }
    for (int i = 0; i < d.count; i++) {
        mem_free(d.sequences[i].ids);
        mem_free(d.sequences[i].starts);
        mem_free(d.sequences[i].supervised);
    }
    mem_free(d.sequences);
    return rc;
}

/* --- the program --- */

static void print_line(void *context, enum log_level level, const char *line)
{
    (void)context;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

int main(int argc, char **argv)
{
    struct comm world;
    struct err e = {0};
    bool multiple;
    if (argc != 5) {
        fprintf(stderr, "usage: dump_logits MODEL ADAPTER|- SEQUENCES.json OUT.safetensors\n");
        return 2;
    }
    log_set_sink(print_line, NULL);
    comm_start(&world, &multiple);
    failure_start(&world, failure_leave);
    progress_start(multiple && world.size > 1);
    int rc = dump(&world, argv, &e);
    if (rc && world.rank == 0)
        fprintf(stderr, "dump_logits: %s\n", e.text);
    sum_release();
    progress_stop();
    failure_stop();
    comm_finish(&world);
    return rc != 0;
}
