#include "job/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/corpus_file.h"
#include "job/bench_pass.h"
#include "job/threads.h"
#include "kern/isa.h"
#include "par/agree.h"
#include "par/sum.h"

enum { LORA_RANK = 16 };
static const double lora_alpha = 32;
static const char *const names[] = {[BENCH_GEMM] = "gemm", [BENCH_TEACHER] = "teacher", [BENCH_STUDENT] = "student",
                                    [BENCH_HEAD] = "head", [BENCH_STREAM] = "stream",   [BENCH_STORE] = "store"};

/* --- what is run --- */

static bool trains(const struct bench_options *o)
{
    return o->what == BENCH_STUDENT || o->what == BENCH_HEAD || o->what == BENCH_GEMM;
}

static int layer_count(const char *path, int *layers, struct err *e)
{
    struct model_files *files;
    if (model_files_open_config(&files, path, e))
        return -1;
    *layers = model_files_config(files)->layers;
    model_files_close(files);
    return 0;
}

/* The first --layers blocks of the model. Collective over shards. */
static int open_model(struct bench *b, struct err *e)
{
    const struct bench_options *o = b->o;
    static char q_proj[] = "q_proj", v_proj[] = "v_proj", *targets[] = {q_proj, v_proj};
    const char *path = o->model ? o->model : o->config, *key = o->model ? "--model" : "--config";
    struct model_options options = {.precision = o->precision,
                                    .random = !o->model,
                                    .forward_only = !trains(o),
                                    .train_base = trains(o) && !o->lora,
                                    .positions = o->sequence_length};
    if (trains(o) && o->lora) {
        options.train_adapter = true;
        options.adapter =
            (struct adapter_config){.rank = LORA_RANK, .alpha = lora_alpha, .targets = targets, .target_count = 2};
    }
    int all = 0;
    layer_count(path, &all, e);
    if (agree(b->world, e))
        return -1;
    options.keep_count = o->layers ? o->layers : all;
    int *keep = mem_array((size_t)options.keep_count, sizeof *keep);
    for (int i = 0; i < options.keep_count; i++)
        keep[i] = i;
    options.keep = keep;
    int rc = model_open(&b->m, path, &options, &b->groups.shards, key, e);
    mem_free(keep);
    if (!rc)
        model_init_adapter(b->m, 0);
    return rc;
}

/* One document of random ids, every token a target. */
static struct sequence make_sequence(int64_t index, int tokens, int64_t vocabulary, uint32_t *ids, int32_t *starts,
                                     unsigned char *supervised)
{
    struct rng r;
    rng_init(&r, (uint64_t)index, 0);
    for (int i = 0; i < tokens; i++) {
        ids[i] = (uint32_t)rng_below(&r, (uint64_t)vocabulary);
        supervised[i] = i > 0;
    }
    starts[0] = 0;
    starts[1] = tokens;
    struct sequence s = {.id = sequence_id(SPLIT_TRAIN, index),
                         .tokens = tokens,
                         .documents = 1,
                         .labels = tokens - 1,
                         .ids = ids,
                         .starts = starts,
                         .supervised = supervised};
    s.input_hash = sequence_hash(&s);
    return s;
}

static int write_corpus(const struct bench *b, const char *path, int64_t count, struct err *e)
{
    const int T = b->o->sequence_length;
    struct corpus_writer *w;
    struct corpus_report reports[SPLIT_COUNT] = {{.documents = count, .tokens = count * T}};
    uint32_t *ids = mem_array((size_t)T, sizeof *ids);
    unsigned char *supervised = mem_array((size_t)T, 1);
    int32_t starts[2];
    int rc = corpus_writer_open(&w, path, 0, T, e);
    for (int64_t i = 0; i < count && !rc; i++) {
        struct sequence s = make_sequence(i, T, b->m->config.vocab_size, ids, starts, supervised);
        reports[SPLIT_TRAIN].supervised += s.labels;
        rc = corpus_writer_add(w, &s, e);
        if (rc)
            corpus_writer_abandon(w);
    }
    mem_free(ids);
    mem_free(supervised);
    return rc ? rc : corpus_writer_commit(w, reports, e);
}

/* Every rank has its own copy, which is gone when the program is. */
static int open_corpus(struct bench *b, struct err *e)
{
    const char *temporary = getenv("TMPDIR");
    char *path = mem_printf("%s/retort-bench-%ld.bin", temporary && *temporary ? temporary : "/tmp", (long)getpid());
    if (!write_corpus(b, path, (int64_t)b->o->sequences * b->groups.student.replicas, e)) {
        corpus_open(&b->corpus, path, 0, e);
        remove(path);
    }
    mem_free(path);
    return agree(b->world, e);
}

static int start_kernels(const struct comm *world, const struct bench_options *o, struct err *e)
{
    struct comm host;
    comm_split_host(&host, world);
    const int automatic = thread_share(&host).threads;
    comm_free(&host);
    isa_use((enum isa)comm_min(world, isa_best()));
    gemm_start(o->threads ? o->threads : automatic, e);
    return agree(world, e);
}

static int open_all(struct bench *b, struct err *e)
{
    const struct group_shape none = {0}, all = {.tensor_parallel = b->o->tensor_parallel         ? b->o->tensor_parallel
                                                                   : b->o->what == BENCH_TEACHER ? b->world->size
                                                                                                 : 1,
                                                .pipeline_parallel = 1};
    if (groups_open(&b->groups, b->world, none, all, GROUPS_ALL_STUDENTS, ROLE_ANY, e))
        return -1;
    open_model(b, e);
    return agree(b->world, e) || open_corpus(b, e) ? -1 : 0;
}

static void close_all(struct bench *b)
{
    model_close(b->m);
    corpus_close(b->corpus);
    groups_close(&b->groups);
    shapes_release(&b->shapes);
}

/* --- timing --- */

struct timed {
    double seconds;
    struct profile profile;
};

static int by_seconds(const void *a, const void *b)
{
    const struct timed *x = a, *y = b;
    return (x->seconds > y->seconds) - (x->seconds < y->seconds);
}

static int time_one(struct bench *b, int (*pass)(void *context, struct err *e), void *context, struct timed *t,
                    struct err *e)
{
    comm_barrier(b->world);
    const double began = clock_seconds();
    profile_begin();
    const int rc = pass(context, e);
    comm_barrier(b->world);
    profile_end(&t->profile);
    t->seconds = clock_seconds() - began;
    return rc;
}

int bench_time(struct bench *b, int (*pass)(void *context, struct err *e), void *context, struct err *e)
{
    const int n = b->o->repeat;
    struct timed *all = mem_array((size_t)n + 1, sizeof *all);
    int rc = time_one(b, pass, context, &all[n], e);
    shapes_watch(&b->shapes);
    for (int i = 0; i < n && !rc; i++)
        rc = time_one(b, pass, context, &all[i], e);
    shapes_stop();
    qsort(all, (size_t)n, sizeof *all, by_seconds);
    b->seconds = all[n / 2].seconds;
    b->profile = all[n / 2].profile;
    mem_free(all);
    return rc;
}

/* --- the report --- */

struct figures {
    double tokens_per_second, gflops, ceiling_gflops, memory;
};

/* FLOPs that one sequence needs, whoever computes them (DESIGN, bench): a forward 2 P + 2 V d a label and
 * 2 L d s of attention; a LoRA step 4 P + 4 V d + 7 L d s + 6 P_adapter, a full step 6 P + 6 V d + 7 L d s. */
static double formula_flops(const struct bench *b)
{
    const struct model_config *c = &b->m->config;
    const double T = b->o->sequence_length, d = (double)c->hidden_size, dq = (double)c->heads * c->head_dim,
                 dkv = (double)c->kv_heads * c->head_dim, L = c->layers, r = LORA_RANK;
    const double P = L * (2 * d * dq + 2 * d * dkv + 3 * d * (double)c->intermediate_size);
    const double head = (T - 1) * (double)c->vocab_size * d, attention = L * dq * T * T;
    const double adapters = L * r * (2 * d + dq + dkv);
    const bool body = b->o->what != BENCH_HEAD;
    if (!trains(b->o))
        return 2 * P * T + 2 * head + 2 * attention;
    if (b->o->lora)
        return (body ? (4 * P + 6 * adapters) * T + 7 * attention : 0) + 4 * head;
    return (body ? 6 * P * T + 7 * attention : 0) + 6 * head;
}

/* Collective over world. */
static struct figures figures_of(const struct bench *b)
{
    const int64_t tokens = (int64_t)b->o->sequences * b->o->sequence_length * b->groups.student.replicas;
    double sums[] = {shapes_flops(&b->shapes), b->memory};
    float slowest = (float)shapes_ceiling_seconds(&b->shapes);
    sum_f64(b->world, sums, 2);
    max_f32(b->world, &slowest, 1);
    const double flops =
        b->o->what == BENCH_GEMM ? sums[0] / b->o->repeat : formula_flops(b) * (double)tokens / b->o->sequence_length;
    return (struct figures){.tokens_per_second = (double)tokens / b->seconds,
                            .gflops = 1e-9 * flops / b->seconds,
                            .ceiling_gflops = 1e-9 * sums[0] / (double)slowest,
                            .memory = sums[1]};
}

static void print_json(const struct bench *b, const struct figures *f, struct strbuf *out)
{
    const struct bench_options *o = b->o;
    strbuf_printf(out,
                  "{\"what\": \"%s\", \"model\": \"%s\", \"precision\": \"%s\", \"method\": \"%s\", \"ranks\": %d, "
                  "\"threads\": %d, \"sequence_length\": %d, \"sequences\": %d, \"tokens_per_second\": %.2f, "
                  "\"gflops\": %.2f, \"ceiling_gflops\": %.2f, \"share\": %.4f, \"peak_memory_bytes\": %.0f, "
                  "\"seconds\": %.6f, \"phases\": {",
                  names[o->what], o->model ? o->model : o->config, o->precision == PRECISION_BF16 ? "bf16" : "f32",
                  !trains(o) ? "none"
                  : o->lora  ? "lora"
                             : "full",
                  b->world->size, gemm_threads(), o->sequence_length, o->sequences, f->tokens_per_second, f->gflops,
                  f->ceiling_gflops, f->gflops / f->ceiling_gflops, f->memory, b->seconds);
    for (int i = 0, n = 0; i < PROFILE_PHASE_COUNT; i++)
        if (b->profile.phase[i] > 0)
            strbuf_printf(out, "%s\"%s\": %.6f", n++ ? ", " : "", profile_phase_name((enum profile_phase)i),
                          b->profile.phase[i]);
    strbuf_adds(out, "}, \"breakdown\": {");
    for (int i = 0, n = 0; i < PROFILE_OP_COUNT; i++)
        if (b->profile.op[i] > 0)
            strbuf_printf(out, "%s\"%s\": %.6f", n++ ? ", " : "", profile_op_name((enum profile_op)i),
                          b->profile.op[i]);
    strbuf_adds(out, "}}\n");
}

static void print_times(const struct bench *b, struct strbuf *out)
{
    strbuf_printf(out, "\n%-12s %10s %7s\n", "phase", "seconds", "share");
    for (int i = 0; i < PROFILE_PHASE_COUNT; i++)
        if (b->profile.phase[i] > 0)
            strbuf_printf(out, "%-12s %10.4f %7.3f\n", profile_phase_name((enum profile_phase)i), b->profile.phase[i],
                          b->profile.phase[i] / b->seconds);
    strbuf_printf(out, "\n%-12s %10s %7s\n", "op", "seconds", "share");
    for (int i = 0; i < PROFILE_OP_COUNT; i++)
        if (b->profile.op[i] > 0)
            strbuf_printf(out, "%-12s %10.4f %7.3f\n", profile_op_name((enum profile_op)i), b->profile.op[i],
                          b->profile.op[i] / b->seconds);
}

static void print_text(const struct bench *b, const struct figures *f, struct strbuf *out)
{
    const struct bench_options *o = b->o;
    strbuf_printf(out, "%s%s, %s, %s: %d rank%s of %d thread%s (%s), %d sequences of %d tokens a replica\n",
                  names[o->what],
                  !trains(o) ? ""
                  : o->lora  ? " (lora)"
                             : " (full)",
                  o->model ? o->model : o->config, o->precision == PRECISION_BF16 ? "bf16" : "f32", b->world->size,
                  b->world->size > 1 ? "s" : "", gemm_threads(), gemm_threads() > 1 ? "s" : "", isa_name(isa_used()),
                  o->sequences, o->sequence_length);
    strbuf_printf(out, "%.1f tokens/s, %.1f GFLOP/s of %.1f that the libraries reach at these products: %.3f\n",
                  f->tokens_per_second, f->gflops, f->ceiling_gflops, f->gflops / f->ceiling_gflops);
    strbuf_printf(out, "%.0f MB of memory at most\n", 1e-6 * f->memory);
    print_times(b, out);
    shapes_print(&b->shapes, o->repeat, out);
}

/* --- the command --- */

static int run_model(struct bench *b, struct strbuf *out, struct err *e)
{
    static int (*const passes[])(struct bench *, struct err *) = {[BENCH_GEMM] = bench_gemm,
                                                                  [BENCH_TEACHER] = bench_teacher,
                                                                  [BENCH_STUDENT] = bench_student,
                                                                  [BENCH_HEAD] = bench_head};
    if (open_all(b, e) || passes[b->o->what](b, e))
        return -1;
    b->memory = (double)mem_peak(); /* before the ceilings need some of their own */
    shapes_measure(&b->shapes, e);
    if (agree(b->world, e))
        return -1;
    const struct figures f = figures_of(b);
    if (b->world->rank == 0 && b->o->json)
        print_json(b, &f, out);
    else if (b->world->rank == 0)
        print_text(b, &f, out);
    return 0;
}

int bench_run(const struct comm *world, const struct bench_options *o, struct strbuf *out, struct err *e)
{
    struct bench b = {.o = o, .world = world};
    if (start_kernels(world, o, e))
        return -1;
    const int rc = o->what == BENCH_STREAM  ? bench_stream(world, o, out, e)
                   : o->what == BENCH_STORE ? bench_store(world, o, out, e)
                                            : run_model(&b, out, e);
    close_all(&b);
    gemm_stop();
    return rc;
}
