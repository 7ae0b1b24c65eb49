#include "job/context.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "job/job_corpus.h"
#include "job/threads.h"
#include "kern/isa.h"
#include "learn/checkpoint.h"
#include "learn/vocabulary.h"
#include "par/agree.h"

static struct group_shape shape_of(struct job_group g)
{
    return (struct group_shape){g.replicas, g.tensor_parallel, g.pipeline_parallel};
}

enum group_plan job_plan(const struct job *job, struct group_shape *teacher, struct group_shape *student)
{
    *teacher = shape_of(job->ranks.teacher);
    *student = shape_of(job->ranks.student);
    if (job->mode == MODE_PRECOMPUTE) {
        teacher->replicas = 0;
        return GROUPS_ALL_TEACHERS;
    }
    if (job->mode == MODE_FINETUNE || job->labels.source != SOURCE_STREAM) {
        student->replicas = 0;
        return GROUPS_ALL_STUDENTS;
    }
    return GROUPS_BOTH;
}

enum precision context_precision(enum job_precision p)
{
    return p == JOB_BF16 ? PRECISION_BF16 : PRECISION_F32;
}

struct label_spec context_label_spec(const struct context *c)
{
    const struct job *job = c->job;
    const bool hidden = job->labels.encoding.kind == ENCODING_HIDDEN;
    static const enum label_kind kinds[] = {
        [ENCODING_SAMPLED] = LABEL_SAMPLED,
        [ENCODING_RANDOM] = LABEL_RANDOM,
        [ENCODING_TOP_K] = LABEL_TOP_K,
        [ENCODING_HIDDEN] = LABEL_HIDDEN,
    };
    static const enum label_values values[] = {
        [JOB_VALUES_U8] = VALUES_U8, [JOB_VALUES_F16] = VALUES_F16, [JOB_VALUES_F32] = VALUES_F32};
    return (struct label_spec){
        .kind = kinds[job->labels.encoding.kind],
        .values = values[job->labels.encoding.values],
        .threshold = job->labels.encoding.threshold,
        .k = job->labels.encoding.k,
        .draws = job->labels.encoding.draws,
        .hidden = hidden ? c->teacher_config.hidden_size : 0,
        .temperature = hidden ? 1 : job->distill.temperature,
        .seed = (uint64_t)job->labels.seed,
    };
}

int64_t context_steps_sequences(const struct job *job)
{
    return job->train.batch_tokens / job->data.sequence_length;
}

void context_locate(const struct job *job, const char *key, struct err *e)
{
    err_prefix(e, "%s", job_where(job, key));
}

/* --- threads and ISA --- */

static int start_kernels(struct context *c, struct err *e)
{
    const struct thread_share share = thread_share(&c->groups.host);
    c->threads = c->job->ranks.threads ? c->job->ranks.threads : share.threads;
    enum isa lowest = (enum isa)comm_min(c->world, isa_best());
    isa_use(lowest);
    gemm_start(c->threads, e);
    if (agree(c->world, e))
        return -1;
    if (c->root)
        log_info("instruction set %s, %d thread%s a rank", isa_name(lowest), c->threads, c->threads > 1 ? "s" : "");
    if (c->threads > share.threads)
        log_warning("rank %d runs %d threads where the launch leaves it %d cores (ranks.threads)", c->world->rank,
                    c->threads, share.threads);
    if (share.crowded && share.first)
        log_warning("the launch binds rank %d and %d more of its host to %d of the %ld cores there: mpirun --bind-to "
                    "none, or --map-by slot:PE=N, gives them more",
                    c->world->rank, share.ranks - 1, share.cores, sysconf(_SC_NPROCESSORS_ONLN));
    return 0;
}

/* --- tokenizers and configs --- */

static int read_config(const struct job *job, const char *key, const char *path, struct model_config *config,
                       struct tokenizer **tokenizer, struct err *e)
{
    struct model_files *files;
    if (!path)
        return 0;
    if (model_files_open_config(&files, path, e)) {
        context_locate(job, key, e);
        return -1;
    }
    *config = *model_files_config(files);
    model_files_close(files);
    if (tokenizer_open(tokenizer, path, e)) {
        context_locate(job, key, e);
        return -1;
    }
    return 0;
}

/* A token that a model has no row for would be read from beyond its table. */
static int check_vocabulary(const struct context *c, const struct model_config *m, const char *key, struct err *e)
{
    for (uint32_t i = (uint32_t)m->vocab_size; m->family && i < tokenizer_size(c->tokenizer); i++)
        if (tokenizer_piece(c->tokenizer, i)) {
            err_set(e, ERR_INPUT, "the tokenizer has token %u (\"%s\"), but the model's vocabulary ends at %lld", i,
                    tokenizer_piece(c->tokenizer, i), (long long)m->vocab_size);
            context_locate(c->job, key, e);
            return -1;
        }
    return 0;
}

static int open_tokenizers(struct context *c, struct err *e)
{
    const struct job *job = c->job;
    const bool teacher = job->mode != MODE_FINETUNE && job_needs_teacher(job);
    struct tokenizer *of_teacher = NULL, *of_student = NULL;
    int rc = 0;
    if (teacher)
        rc = read_config(job, "teacher.model", job->teacher.model, &c->teacher_config, &of_teacher, e);
    if (!rc) /* in precompute, where it is named: it decides which ids take part */
        rc = read_config(job, "student.model", job->student.model, &c->student_config, &of_student, e);
    if (!rc && of_teacher && of_student)
        rc = tokenizer_compare(of_teacher, job->teacher.model, of_student, job->student.model, e);
    c->tokenizer = of_student ? of_student : of_teacher;
    if (of_student && of_teacher)
        tokenizer_close(of_teacher);
    if (rc)
        return rc;
    int64_t t = c->teacher_config.family ? c->teacher_config.vocab_size : c->student_config.vocab_size;
    int64_t s = c->student_config.family ? c->student_config.vocab_size : t;
    c->allowed = vocabulary_allowed(c->tokenizer, t, s, &c->allowed_end);
    if (check_vocabulary(c, &c->teacher_config, "teacher.model", e))
        return -1;
    return check_vocabulary(c, &c->student_config, "student.model", e);
}

/* --- the corpus --- */

/* What reads the data knows paths; where they stand in the job is known here. */
static int check_data_paths(const struct job *job, struct err *e)
{
    int n = job_input_paths(job, NULL, 0), rc = 0;
    struct job_path *paths = mem_array((size_t)n, sizeof *paths);
    job_input_paths(job, paths, n);
    for (int i = 0; i < n && !rc; i++)
        if (!strncmp(paths[i].key, "data.", 5) && !file_exists(paths[i].path))
            rc = err_set(e, ERR_INPUT, "%s: %s does not exist", job_where(job, paths[i].key), paths[i].path);
    mem_free(paths);
    return rc;
}

/* The first rank of a host builds the file, the others map it. */
static int open_corpus_file(struct context *c, const struct corpus_spec *spec, struct err *e)
{
    uint64_t *key = &c->corpus_key;
    const struct comm *host = &c->groups.host;
    if (host->rank == 0 && !check_data_paths(c->job, e))
        corpus_key(spec, c->tokenizer, key, e);
    comm_broadcast(host, key, sizeof *key, 0);
    char *path = job_corpus_path(*key);
    if (host->rank == 0 && e->code == ERR_NONE)
        job_corpus_build(spec, c->tokenizer, path, *key, e);
    int rc = agree(c->world, e);
    if (!rc) {
        corpus_open(&c->corpus, path, *key, e);
        rc = agree(c->world, e);
    }
    mem_free(path);
    return rc;
}

static void log_corpus(const struct context *c)
{
    static const char *const names[SPLIT_COUNT] = {"train", "validation"};
    for (enum split s = SPLIT_TRAIN; s < SPLIT_COUNT; s++) {
        const struct corpus_report *r = corpus_report(c->corpus, s);
        log_info("data.%s: %lld documents in %lld sequences, %lld tokens, %lld supervised", names[s],
                 (long long)r->documents, (long long)corpus_count(c->corpus, s), (long long)r->tokens,
                 (long long)r->supervised);
        if (r->documents_cut)
            log_warning("data.%s: %lld documents were longer than data.sequence_length and lost their end", names[s],
                        (long long)r->documents_cut);
        if (r->documents_dropped)
            log_warning("data.%s: %lld documents had no supervised token left and were dropped", names[s],
                        (long long)r->documents_dropped);
        if (r->bytes_replaced)
            log_warning("data.%s: %lld bytes were not UTF-8 and became U+FFFD", names[s], (long long)r->bytes_replaced);
    }
}

static int open_corpus(struct context *c, struct err *e)
{
    struct corpus_spec spec;
    job_corpus_spec(&spec, c->job);
    int rc = open_corpus_file(c, &spec, e);
    if (!rc && c->root)
        log_corpus(c);
    job_corpus_release(&spec);
    return rc;
}

/* --- opening --- */

int context_open(struct context *c, const struct comm *world, const struct job *job, const struct run_options *options,
                 struct err *e)
{
    *c = (struct context){.job = job, .world = world, .options = options};
    struct group_shape teacher, student;
    enum group_plan plan = job_plan(job, &teacher, &student);
    if (groups_open(&c->groups, world, teacher, student, plan, options->role, e))
        return -1;
    c->root =
        c->groups.me.role == (plan == GROUPS_ALL_TEACHERS ? ROLE_TEACHER : ROLE_STUDENT) && c->groups.group.rank == 0;
    if (start_kernels(c, e))
        goto failed;
    open_tokenizers(c, e);
    if (agree(world, e) || open_corpus(c, e))
        goto failed;
    return 0;
failed:
    context_close(c);
    return -1;
}

void context_close(struct context *c)
{
    model_close(c->teacher);
    model_close(c->student);
    corpus_close(c->corpus);
    tokenizer_close(c->tokenizer);
    mem_free(c->allowed);
    mem_free(c->teacher_allowed);
    mem_free(c->student_allowed);
    groups_close(&c->groups);
    gemm_stop();
    *c = (struct context){0};
}

/* --- models --- */

static int read_adapter_config(const struct job *job, const char *key, const char *path, struct adapter_config *a,
                               struct err *e)
{
    if (path && adapter_config_read(a, path, e)) {
        context_locate(job, key, e);
        return -1;
    }
    return 0;
}

int context_open_model(struct context *c, const char *path, const char *adapter, enum job_precision precision,
                       const char *key, struct model **out, struct err *e)
{
    struct model_options options = {
        .precision = context_precision(precision), .forward_only = true, .positions = c->job->data.sequence_length};
    char *adapter_key = mem_printf("%.*s.adapter", (int)strcspn(key, "."), key);
    read_adapter_config(c->job, adapter_key, adapter, &options.adapter, e);
    int rc = agree(&c->groups.shards, e);
    if (!rc)
        rc = model_open(out, path, &options, &c->groups.shards, job_where(c->job, key), e);
    if (adapter)
        adapter_config_release(&options.adapter);
    if (!rc && adapter) {
        rc = model_load_adapter(*out, adapter, e);
        if (rc)
            context_locate(c->job, adapter_key, e);
    }
    mem_free(adapter_key);
    return rc;
}

/* The adapter that student.lora asks for, or the one that student.adapter goes on with. */
static int trained_adapter(const struct job *job, struct adapter_config *a, struct err *e)
{
    if (job->student.adapter)
        return read_adapter_config(job, "student.adapter", job->student.adapter, a, e);
    *a = (struct adapter_config){
        .rank = job->student.lora.rank,
        .alpha = job->student.lora.alpha,
        .dropout = job->student.lora.dropout,
        .rslora = job->student.lora.rslora,
        .targets = job->student.lora.targets.items,
        .target_count = job->student.lora.targets.count,
    };
    return 0;
}

static int open_trained(struct context *c, struct model **out, struct err *e)
{
    const struct job *job = c->job;
    bool lora = job->student.method != METHOD_FULL;
    struct model_options options = {
        .precision = context_precision(job->student.precision),
        .train_base = !lora,
        .train_adapter = lora,
        .positions = job->data.sequence_length,
    };
    if (lora)
        trained_adapter(job, &options.adapter, e);
    options.dropout = (float)options.adapter.dropout;
    int rc = agree(&c->groups.shards, e);
    if (!rc)
        rc = model_open(out, job->student.model, &options, &c->groups.shards, job_where(job, "student.model"), e);
    if (lora && job->student.adapter)
        adapter_config_release(&options.adapter);
    if (rc)
        return -1;
    if (!lora)
        return 0;
    model_init_adapter(*out, (uint64_t)job->seed);
    return job->student.adapter ? model_load_adapter(*out, job->student.adapter, e) : 0;
}

int context_open_checkpoint(struct context *c, int64_t step, struct model **out, struct err *e)
{
    if (open_trained(c, out, e))
        return -1;
    return checkpoint_load(c->job->output, step, *out, NULL, &c->groups.shards, e);
}

static void add_line(void *context, const char *text)
{
    strbuf_printf(context, "%s\n", text);
}

/* World rank 0 has the lines; the rank that keeps the run's log says them. */
static void log_placement(struct context *c)
{
    int64_t bytes = 0;
    struct strbuf lines;
    strbuf_init(&lines);
    if (c->teacher)
        bytes += model_weight_bytes(c->teacher);
    if (c->student)
        bytes += model_weight_bytes(c->student);
    char *detail = mem_printf("%.1f MB of weights", 1e-6 * (double)bytes);
    groups_describe(&c->groups, c->threads, detail, add_line, &lines);
    mem_free(detail);
    size_t size = lines.size + 1;
    void *text = c->world->rank == 0 ? strbuf_detach(&lines) : NULL;
    strbuf_release(&lines);
    comm_broadcast_buffer(c->world, &text, &size, 0);
    char *rest = text;
    for (char *line; c->root && (line = strsep(&rest, "\n")) && *line;)
        log_info("%s", line);
    mem_free(text);
}

static uint64_t *allowed_of(const struct context *c, const struct model *m)
{
    return m ? vocabulary_of_shard(c->allowed, m->shard.vocab, m->config.vocab_size) : NULL;
}

int context_open_models(struct context *c, bool train, struct err *e)
{
    const struct job *job = c->job;
    bool is_student = c->groups.me.role == ROLE_STUDENT;
    bool local = job->mode != MODE_FINETUNE && job->labels.source == SOURCE_LOCAL;
    if (!is_student || local)
        context_open_model(c, job->teacher.model, job->teacher.adapter, job->teacher.precision, "teacher.model",
                           &c->teacher, e);
    if (is_student && e->code == ERR_NONE) {
        if (train)
            open_trained(c, &c->student, e);
        else
            context_open_model(c, job->student.model, NULL, job->student.precision, "student.model", &c->student, e);
    }
    if (agree(c->world, e))
        return -1;
    c->teacher_allowed = allowed_of(c, c->teacher);
    c->student_allowed = allowed_of(c, c->student);
    log_placement(c);
    return 0;
}

void context_log_memory(const struct context *c)
{
    const long most = comm_max(c->world, (long)(mem_peak() >> 20));
    if (c->root)
        log_info("memory: %ld MiB at most on a rank", most);
}
