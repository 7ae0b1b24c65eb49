/* Labels that are computed once and kept: precompute fills a store, distill reads it. What a run learns is the same to
 * the last bit whether labels are streamed, stored or made in the same process (DESIGN, Invariant 2); a precompute may
 * be killed, stopped, shared out and started again on other ranks; what does not fit is refused. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "flow.h"
#include "label/store.h"

enum { INPUT = 3, ENVIRONMENT = 4, STOPPED = 75 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* --- helpers --- */

static void precompute(const char *store, int ranks, const char *options)
{
    expect_outcome(retort(ranks, "run job.yaml --set mode=precompute --set labels.store=%s %s", store, options), 0,
                   "sequences are labelled");
}

#define FROM(store) "--set labels.source=store --set labels.store=" store " "

static void expect_same_run(const char *a, const char *b)
{
    char *of_a = mem_printf("%s/model/model.safetensors", a), *of_b = mem_printf("%s/model/model.safetensors", b);
    expect_same_metrics(a, b);
    expect_same_file(of_a, of_b);
    mem_free(of_a);
    mem_free(of_b);
}

static struct store *open_store(const char *directory)
{
    struct err e = {0};
    struct store *s;
    assert_done(store_open(&s, directory, &e), &e);
    return s;
}

static int64_t count_records(const char *directory)
{
    struct store *s = open_store(directory);
    int64_t n = store_count(s);
    store_close(s);
    return n;
}

static void verify(const char *directory)
{
    struct err e = {0};
    struct store *s = open_store(directory);
    assert_done(store_verify(s, true, &e), &e);
    store_close(s);
}

/* Every record of `part` stands in `whole` with the same bytes. */
static void expect_records(const struct store *part, const struct store *whole)
{
    for (int64_t i = 0; i < store_count(part); i++) {
        const struct store_record r = store_at(part, i);
        size_t size = 0;
        const void *there = store_find(whole, r.seq_id, &size);
        if (!there || size != r.size || memcmp(there, r.bytes, size))
            fail_msg("the record of sequence %llx is %s", (unsigned long long)r.seq_id, there ? "another" : "missing");
    }
}

static void expect_same_records(const char *a, const char *b)
{
    struct store *x = open_store(a), *y = open_store(b);
    assert_int_equal(store_count(x), store_count(y));
    expect_records(x, y);
    store_close(x);
    store_close(y);
}

/* Records that all files hold together, those that are there twice included. */
static int64_t count_copies(const char *directory, int *open)
{
    struct store *s = open_store(directory);
    int64_t n = 0;
    *open = 0;
    for (int i = 0; i < store_parts(s); i++) {
        n += store_part(s, i).records;
        *open += !store_part(s, i).sealed;
    }
    store_close(s);
    return n;
}

/* --- three ways, one result --- */

static void three_ways(const char *encoding)
{
    char *options = mem_printf("--set 'labels.encoding=%s'", encoding), *stored = mem_printf("%s " FROM("st"), options);
    char *local = mem_printf("%s --set labels.source=local", options);
    precompute("st", 2, options);
    verify("st");
    train("streamed", 2, options);
    train("local", 1, local);
    train("stored", 1, stored);
    expect_same_run("local", "streamed");
    expect_same_run("stored", "streamed");
    mem_free(options);
    mem_free(stored);
    mem_free(local);
}

static void three_ways_sampled(void **state)
{
    (void)state;
    three_ways("{kind: sampled, threshold: 0.02, values: u8}");
}

static void three_ways_random(void **state)
{
    (void)state;
    three_ways("{kind: random, draws: 20}");
}

static void three_ways_top_k(void **state)
{
    (void)state;
    three_ways("{kind: top_k, k: 7, values: f16}");
}

static void three_ways_hidden(void **state)
{
    (void)state;
    three_ways("{kind: hidden, values: f16}");
}

/* The teacher's state and head give its exact distribution, at the job's temperature, whatever the students' layout. */
static void hidden_is_exact(void **state)
{
    (void)state;
    train("dense", 2, "--set 'labels.encoding={kind: top_k, k: 320, values: f32}'");
    train("hidden", 2, "--set 'labels.encoding={kind: hidden, values: f32}'");
    expect_close_metrics("hidden", "dense", 1e-5);
    train("shards", 3, "--set 'labels.encoding={kind: hidden, values: f32}' --set ranks.student.tensor_parallel=2");
    expect_close_metrics("shards", "dense", 1e-5);
    precompute("st", 2, "--set 'labels.encoding={kind: hidden, values: f32}' --set distill.temperature=3");
    train("stored", 2, FROM("st") "--set 'labels.encoding={kind: hidden, values: f32}'");
    expect_close_metrics("stored", "dense", 1e-5);
}

/* A teacher of three shards fills the store, two students read it; and a student of two shards does. */
static void three_ways_shards(void **state)
{
    (void)state;
    precompute("st", 3, "--set ranks.teacher.tensor_parallel=3");
    train("streamed", 5, "--set ranks.teacher.tensor_parallel=3");
    train("stored", 2, FROM("st"));
    expect_same_run("stored", "streamed");
    train("streamed-shards", 5, "--set ranks.teacher.tensor_parallel=3 --set ranks.student.tensor_parallel=2");
    train("stored-shards", 2, FROM("st") "--set ranks.student.tensor_parallel=2");
    expect_same_run("stored-shards", "streamed-shards");
}

/* A store has all that a training needs: no teacher is there, none is named. An evaluation needs one, and no store. */
static void without_teacher(void **state)
{
    (void)state;
    precompute("st", 1, "");
    train("stored", 1, FROM("st"));
    expect_outcome(retort(0, "check job.yaml --files --set teacher.model=null " FROM("st")), 0, NULL);
    train("absent", 1, FROM("st") "--set teacher.model=absent");
    train("unnamed", 1, FROM("st") "--set teacher.model=null");
    expect_same_run("absent", "stored");
    expect_same_run("unnamed", "stored");
    expect_outcome(retort(1, "run job.yaml --set mode=evaluate --set output=stored " FROM("none")), 0, NULL);
}

/* A run that was stopped reads the rest from the store, and one that began with a stream may go on from it. */
static void resumed_from_store(void **state)
{
    (void)state;
    const char *saving = "--set train.checkpoint_every=5 ";
    precompute("st", 2, "");
    train("whole", 1, "--set labels.source=local");
    train("run", 2, "--set train.steps=5 --set train.checkpoint_every=5");
    char *options = mem_printf("%s" FROM("st"), saving);
    train("run", 1, options);
    expect_same_run("run", "whole");
    mem_free(options);
}

/* --- precompute --- */

static void precompute_layouts(void **state)
{
    (void)state;
    precompute("one", 1, "");
    precompute("two", 2, "");
    precompute("three", 3, "");
    precompute("four", 4, "");
    expect_same_records("two", "one");
    expect_same_records("three", "one");
    expect_same_records("four", "one");
    precompute("shards", 2, "--set ranks.teacher.tensor_parallel=2");
    assert_int_equal(count_records("shards"), count_records("one"));
    expect_refused(
        retort(3, "run job.yaml --set mode=precompute --set labels.store=st --set ranks.teacher.tensor_parallel=2"), 2,
        "ranks.teacher", "3");
    assert_false(file_exists("run"));
}

/* What is labelled is what the steps read, each sequence once; the whole corpus only if it is asked for. */
static void what_is_labelled(void **state)
{
    (void)state;
    precompute("few", 1, "--set train.steps=2");
    struct store *few = open_store("few");
    assert_int_equal(store_count_of(few, SPLIT_TRAIN), 16);
    assert_int_equal(store_count_of(few, SPLIT_VALIDATION), 9);
    precompute("all", 2, "--set train.steps=1 --set labels.whole_corpus=true");
    struct store *all = open_store("all");
    assert_int_equal(store_count_of(all, SPLIT_TRAIN), 35);
    assert_int_equal(store_count_of(all, SPLIT_VALIDATION), 9);
    expect_records(few, all);
    store_close(few);
    store_close(all);
    train("stored", 1, FROM("few") "--set train.steps=2");
    precompute("few", 2, "--set train.steps=100"); /* two epochs and more: what was there is not made again */
    expect_same_records("few", "all");
    int open;
    assert_int_equal(count_copies("few", &open), 44);
    assert_int_equal(open, 0);
}

static void nothing_to_do(void **state)
{
    (void)state;
    precompute("st", 2, "");
    assert_true(file_exists("st/log-000001.txt"));
    expect_outcome(retort(2, "run job.yaml --set mode=precompute --set labels.store=st"), 0,
                   "44 of 44 sequences are labelled");
    assert_false(file_exists("st/log-000002.txt"));
    assert_false(file_exists("st/writer-000002.json"));
}

/* --- shared work --- */

static int start_part(const char *part)
{
    return flow_start(2, "run job.yaml --set mode=precompute --set labels.store=st --set labels.part=%s", part);
}

static void parts(void **state)
{
    (void)state;
    precompute("whole", 1, "");
    int first = start_part("1/2"), second = start_part("2/2");
    assert_int_equal(flow_wait(first)->status, 0);
    assert_int_equal(flow_wait(second)->status, 0);
    expect_same_records("st", "whole");
    int open;
    assert_int_equal(count_copies("st", &open), 44); /* nothing was made twice */
    assert_int_equal(open, 0);
    /* tasks 10, 13 and 16 of an array; a part that is given counts more */
    setenv("SLURM_ARRAY_TASK_COUNT", "3", 1);
    setenv("SLURM_ARRAY_TASK_MIN", "10", 1);
    setenv("SLURM_ARRAY_TASK_STEP", "3", 1);
    setenv("SLURM_ARRAY_TASK_ID", "10", 1);
    precompute("array", 1, "");
    assert_int_equal(count_records("array"), 15);
    setenv("SLURM_ARRAY_TASK_ID", "16", 1);
    expect_outcome(retort(1, "run job.yaml --set mode=precompute --set labels.store=array"), 0, "labels.part: 3/3");
    assert_int_equal(count_records("array"), 29);
    precompute("array", 1, "--set labels.part=2/3");
    unsetenv("SLURM_ARRAY_TASK_COUNT");
    expect_same_records("array", "whole");
}

/* Several runs read one store at once. */
static void shared_reading(void **state)
{
    (void)state;
    precompute("st", 2, "");
    int a = flow_start(1, "run job.yaml --set output=a " FROM("st"));
    int b = flow_start(1, "run job.yaml --set output=b " FROM("st"));
    assert_int_equal(flow_wait(a)->status, 0);
    assert_int_equal(flow_wait(b)->status, 0);
    expect_same_run("a", "b");
}

/* --- killed and stopped --- */

/* Work for some seconds: a deeper teacher, and many sequences. */
#define LONG                                                                                                       \
    "--set labels.whole_corpus=true --set 'data.train=[{path: long.txt, format: text}]' --set teacher.model=slow " \
    "--set train.evaluate_every=0 "

static void make_long_work(int lines)
{
    struct strbuf text;
    struct model_config c;
    strbuf_init(&text);
    for (int i = 0; i < lines; i++)
        strbuf_printf(&text, "Line %d of %d is one of many that nobody will ever want to read again.\n", i, lines);
    flow_write("long.txt", "%s", text.data);
    strbuf_release(&text);
    flow_config(&c, "llama", 8);
    flow_make_model("slow", &c, 5);
}

static void wait_for_file(const char *format, int generation)
{
    char path[64];
    snprintf(path, sizeof path, format, generation);
    for (double until = clock_seconds() + 40; !file_exists(path); clock_sleep(2e-3))
        if (clock_seconds() > until)
            fail_msg("there is no %s after 40 s", path);
}

/* The count in the last line "labels N/M sequences" of what was said. */
static int64_t last_progress(const char *text)
{
    int64_t n = 0;
    for (const char *at = text; (at = strstr(at, "labels ")); at += 7)
        if (at[7] >= '0' && at[7] <= '9')
            n = atoll(at + 7);
    return n;
}

/* Starts a precompute and kills all its ranks at a random moment from when it has joined the store. What was there is
 * there still, and what it said that it has made. */
static void precompute_and_kill(int generation, int ranks, struct rng *r)
{
    struct store *before = generation > 1 ? open_store("st") : NULL;
    int pid = flow_start(ranks, "run job.yaml --set mode=precompute --set labels.store=st " LONG);
    wait_for_file("st/writer-%06d.json", generation);
    clock_sleep(1e-3 * (double)rng_below(r, 700));
    flow_kill(pid, -1);
    const struct outcome *o = flow_wait(pid);
    assert_int_not_equal(o->status, 0);
    struct store *after = open_store("st");
    assert_true(store_count(after) >= last_progress(o->err));
    if (before)
        expect_records(before, after);
    store_close(before);
    store_close(after);
}

static void kill_and_finish(int kills, int most_ranks, int lines)
{
    struct rng r;
    rng_init(&r, 5, (uint64_t)kills);
    make_long_work(lines);
    for (int i = 0; i < kills; i++)
        precompute_and_kill(i + 1, 1 + i % most_ranks, &r);
    int64_t survived = count_records("st");
    const char *warning = "another job writes here, or was killed";
    expect_outcome(retort(most_ranks, "run job.yaml --set mode=precompute --set labels.store=st " LONG), 0, warning);
    print_message("%lld records survived %d kills, of %lld\n", (long long)survived, kills,
                  (long long)count_records("st"));
    assert_true(survived < count_records("st")); /* or the last kills have hit nothing */
    verify("st");
    train("stored", 1, LONG FROM("st"));
    train("local", 1, LONG "--set labels.source=local");
    expect_same_run("stored", "local");
}

static void killed_precompute(void **state)
{
    (void)state;
    kill_and_finish(SANITIZED ? 3 : 6, 2, SANITIZED ? 1000 : 3000);
}

static void killed_precompute_of_three(void **state)
{
    (void)state;
    kill_and_finish(7, 3, 3000);
}

static void killed_precompute_of_four(void **state)
{
    (void)state;
    kill_and_finish(7, 4, 3000);
}

/* A signal: what is made stays, every file is sealed, and the same command goes on. */
static void stopped_precompute(void **state)
{
    (void)state;
    make_long_work(SANITIZED ? 1000 : 2500);
    int pid = flow_start(2, "run job.yaml --set mode=precompute --set labels.store=st " LONG);
    wait_for_file("st/labels-%06d-0000-0000.open", 1);
    assert_int_equal(kill(pid, SIGUSR1), 0);
    expect_refused(flow_wait(pid), STOPPED, "stopped on request", "sequences are labelled", "goes on");
    int open;
    int64_t some = count_copies("st", &open);
    assert_int_equal(open, 0);
    assert_true(some > 0);
    precompute("st", 1, LONG);
    assert_true(count_records("st") > some);
    assert_int_equal(count_copies("st", &open), count_records("st"));
    verify("st");
}

/* --- what is missing --- */

static void missing_labels(void **state)
{
    (void)state;
    precompute("st", 1, "--set train.steps=2");
    expect_refused(retort(1, "run job.yaml " FROM("st")), INPUT, "labels.store", "19 of the 44 sequences",
                   "of data.train", "precompute", "allow_partial");
    expect_refused(retort(2, "run job.yaml " FROM("st")), INPUT, "19 of the 44 sequences");
    const struct outcome *o = retort(1, "run job.yaml --set output=one --set labels.allow_partial=true " FROM("st"));
    expect_outcome(o, 0, "trains on the 16 of 35 sequences that the store has, validates with 9 of 9");
    train("two", 2, "--set labels.allow_partial=true " FROM("st"));
    expect_close_metrics("two", "one", 1e-5);
    /* nothing is missing: the same run as from a whole store */
    train("few", 1, "--set train.steps=2 --set labels.allow_partial=true " FROM("st"));
    train("local", 1, "--set train.steps=2 --set labels.source=local");
    expect_same_run("few", "local");
}

/* The choice that a run has begun with stays, though the store has become whole, and whatever the source is. */
static void partial_is_kept(void **state)
{
    (void)state;
    const char *options = "--set labels.allow_partial=true --set train.checkpoint_every=5 ";
    char *stored = mem_printf("%s" FROM("st"), options), *shorter = mem_printf("%s--set train.steps=5", stored);
    char *local = mem_printf("%s --set labels.source=local", options);
    precompute("st", 1, "--set labels.part=1/2");
    train("whole", 1, stored);
    train("run", 1, shorter);
    train("moved", 1, shorter);
    precompute("st", 2, "");
    train("run", 1, stored);
    train("moved", 1, local);
    expect_same_run("run", "whole");
    expect_same_run("moved", "whole");
    mem_free(stored);
    mem_free(shorter);
    mem_free(local);
}

/* --- labels.cache --- */

#define CACHED "--set labels.cache=true --set labels.store=st "

/* 35 training sequences, 8 a step: the first epoch ends in step 5, and from step 6 on the teacher has nothing to do. */
static void cached(const char *layout, int ranks)
{
    char *options = mem_printf("%s " CACHED, layout);
    int open;
    train("streamed", ranks, "%s", layout);
    const struct outcome *o = retort(ranks, "run job.yaml --set output=first %s", options);
    expect_outcome(o, 0, "st has 0 of the 44 sequences");
    assert_non_null(strstr(o->err, "from step 6 on labels come from the store"));
    expect_same_run("first", "streamed");
    assert_int_equal(count_copies("st", &open), 44); /* each once */
    assert_int_equal(open, 0);
    verify("st");
    o = retort(ranks, "run job.yaml --set output=second %s", options);
    expect_outcome(o, 0, "st has 44 of the 44 sequences");
    expect_same_run("second", "streamed");
    assert_int_equal(count_copies("st", &open), 44);
    assert_false(file_exists("st/writer-000002.json"));
    mem_free(options);
}

static void cache(void **state)
{
    (void)state;
    cached("", 2);
    train("stored", 1, FROM("st"));
    expect_same_run("stored", "streamed");
    expect_outcome(retort(1, "run job.yaml --set mode=precompute --set labels.store=st"), 0,
                   "44 of 44 sequences are labelled");
    expect_outcome(retort(0, "check job.yaml --set labels.source=local " CACHED), 0, "only streamed labels are cached");
}

static void cache_replicas(void **state)
{
    (void)state;
    cached("--set ranks.teacher.replicas=2 --set labels.window=1", 5);
}

static void cache_shards(void **state)
{
    (void)state;
    cached("--set ranks.teacher.tensor_parallel=2 --set ranks.student.tensor_parallel=2", 4);
}

/* Once the store has every label, the teacher's ranks become students: the same training on another layout. */
static void cache_joined(void **state)
{
    (void)state;
    const char *joins = CACHED "--set ranks.after_cache=join --set train.steps=12 ";
    train("streamed", 2, "--set train.steps=12");
    const struct outcome *o =
        retort(3, "run job.yaml --set output=joined --set ranks.teacher.tensor_parallel=2 %s", joins);
    expect_outcome(o, 0, "from step 6 on all 3 ranks are students");
    expect_close_metrics("joined", "streamed", 1e-3);
    assert_true(file_exists("joined/model/model.safetensors"));
    o = retort(2, "run job.yaml --set output=again %s", joins); /* the store has all: one step, then both */
    expect_outcome(o, 0, "from step 2 on all 2 ranks are students");
    expect_close_metrics("again", "streamed", 1e-3);
    expect_refused(retort(3, "run job.yaml --set output=odd --set ranks.student.tensor_parallel=2 %s", joins), 2,
                   "ranks.after_cache", "all 3 ranks become students", "2");
}

/* Some of the labels are there before; the others are streamed, and written beside them. */
static void cache_begun(void **state)
{
    (void)state;
    int open;
    precompute("st", 1, "--set labels.part=1/3");
    train("streamed", 2, "");
    const struct outcome *o = retort(2, "run job.yaml --set output=cached " CACHED);
    expect_outcome(o, 0, "st has 15 of the 44 sequences");
    expect_same_run("cached", "streamed");
    assert_int_equal(count_copies("st", &open), 44);
}

/* Killed in its first epoch and after it: what a checkpoint has seen is not made again, and the end is the same. */
static void cache_killed(void **state)
{
    (void)state;
    const char *options = "--set train.steps=90 --set train.evaluate_every=10 --set train.checkpoint_every=2 ";
    train("streamed", 2, "%s", options);
    for (int step = 3; step < 60; step += 27) {
        int pid = flow_start(2, "run job.yaml --set output=cached %s " CACHED, options);
        flow_wait_for_step("cached", step);
        flow_kill(pid, -1);
        assert_int_not_equal(flow_wait(pid)->status, 0);
    }
    expect_outcome(retort(2, "run job.yaml --set output=cached %s " CACHED, options), 0, "st has 44 of the 44");
    expect_same_run("cached", "streamed");
    verify("st");
}

/* --- refusals --- */

static void other_labels(void **state)
{
    (void)state;
    struct model_config c;
    precompute("st", 1, "");
    expect_refused(retort(1, "run job.yaml " FROM("st") "--set distill.temperature=1.0"), INPUT, "labels.store", "st",
                   "temperature", "1.5");
    expect_refused(retort(2, "run job.yaml " FROM("st") "--set labels.encoding.threshold=0.05"), INPUT, "labels.store",
                   "0.05", "0.02");
    expect_refused(retort(1, "run job.yaml " FROM("st") "--set labels.encoding.kind=random"), INPUT, "random",
                   "sampled");
    expect_refused(retort(1, "run job.yaml " FROM("st") "--set data.sequence_length=32"), INPUT, "sequence_length");
    expect_refused(retort(1, "run job.yaml " FROM("st") "--set data.append_eos=false"), INPUT, "sequences");
    expect_refused(retort(1, "run job.yaml " FROM("st") "--set data.pack_seed=1"), INPUT, "st", "the job");
    flow_config(&c, "llama", 1);
    c.vocab_size = 270;
    flow_make_model("short", &c, 2);
    expect_refused(retort(1, "run job.yaml " FROM("st") "--set student.model=short"), INPUT, "tokenizer");
    expect_refused(retort(1, "run job.yaml " FROM("nowhere")), INPUT, "labels.store", "nowhere");
    assert_false(file_exists("run/model"));
    /* another labels.seed is accepted, and named */
    expect_outcome(retort(1, "run job.yaml " FROM("st") "--set labels.seed=8 --set train.steps=1"), 0, "labels.seed 0");
}

static void other_writers(void **state)
{
    (void)state;
    precompute("st", 1, "--set train.steps=1");
    const char *command = "run job.yaml --set mode=precompute --set labels.store=st";
    expect_refused(retort(1, "%s --set teacher.model=student", command), INPUT, "st", "teacher");
    expect_refused(retort(2, "%s --set distill.temperature=2", command), INPUT, "st", "temperature");
    expect_refused(retort(1, "%s --set teacher.model=nowhere", command), INPUT, "teacher.model", "nowhere");
    /* the student decides which ids take part; this one has the same */
    precompute("st", 1, "--set student.model=null");
}

/* A teacher that overflows on every input. */
static void not_finite(void **state)
{
    (void)state;
    struct err e = {0};
    size_t size;
    flow_make_teacher("bad");
    char *bytes = flow_read("bad/model.safetensors", &size);
    uint64_t header;
    memcpy(&header, bytes, sizeof header);
    char *entry = strstr(bytes + 8, "\"model.norm.weight\""), *at = strstr(entry, "\"data_offsets\":[");
    const float huge = 3e38f;
    memcpy(bytes + 8 + header + strtoull(at + strlen("\"data_offsets\":["), NULL, 10), &huge, sizeof huge);
    assert_done(file_write("bad/model.safetensors", bytes, size, &e), &e);
    mem_free(bytes);
    const char *command = "run job.yaml --set mode=precompute --set labels.store=st --set teacher.model=bad";
    expect_refused(retort(1, "%s", command), INPUT, "not finite", "of sequence 0 of data.validation");
    expect_outcome(retort(2, "%s", command), INPUT, "of data.validation"); /* each replica may say so */
    expect_refused(retort(2, "%s --set ranks.teacher.tensor_parallel=2", command), INPUT, "not finite",
                   "of sequence 0");
}

static void unwritable_store(void **state)
{
    (void)state;
    flow_write("taken", "a file\n");
    const char *command = "run job.yaml --set mode=precompute";
    expect_refused(retort(1, "%s --set labels.store=taken", command), ENVIRONMENT, "taken");
    expect_refused(retort(2, "%s --set labels.store=/proc/retort-store", command), ENVIRONMENT, "/proc/retort-store");
}

/* Needs root: a read-only file system, and one that is full after some records, which stay. */
static void full_store(void **state)
{
    (void)state;
    const char *command = "run job.yaml --set mode=precompute";
    assert_int_equal(mkdir("small", 0777), 0);
    if (mount("none", "small", "tmpfs", 0, "size=96k")) {
        print_message("SKIPPED: a small file system cannot be mounted here (root can)\n");
        skip();
    }
    make_long_work(1000);
    const struct outcome *o = retort(2, "%s --set labels.store=small/st " LONG, command);
    int full = o->status;
    bool said = strstr(o->err, "No space left") && strstr(o->err, "small/st");
    int64_t kept = full == ENVIRONMENT && file_exists("small/st/store.json") ? count_records("small/st") : -1;
    mount("none", "small", "tmpfs", MS_REMOUNT | MS_RDONLY, "size=96k");
    int read_only = retort(2, "%s --set labels.store=small/st " LONG, command)->status;
    int fresh = retort(1, "%s --set labels.store=small/other " LONG, command)->status;
    umount("small");
    assert_int_equal(full, ENVIRONMENT);
    assert_true(said);
    assert_true(kept >= 0);
    assert_int_equal(read_only, ENVIRONMENT);
    assert_int_equal(fresh, ENVIRONMENT);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_ways_sampled),
        cmocka_unit_test(three_ways_random),
        cmocka_unit_test(three_ways_hidden),
        cmocka_unit_test(hidden_is_exact),
        cmocka_unit_test(three_ways_top_k),
        cmocka_unit_test(three_ways_shards),
        cmocka_unit_test(without_teacher),
        cmocka_unit_test(resumed_from_store),
        cmocka_unit_test(precompute_layouts),
        cmocka_unit_test(what_is_labelled),
        cmocka_unit_test(nothing_to_do),
        cmocka_unit_test(parts),
        cmocka_unit_test(shared_reading),
        cmocka_unit_test(killed_precompute),
        cmocka_unit_test(killed_precompute_of_three),
        cmocka_unit_test(killed_precompute_of_four),
        cmocka_unit_test(stopped_precompute),
        cmocka_unit_test(missing_labels),
        cmocka_unit_test(partial_is_kept),
        cmocka_unit_test(cache),
        cmocka_unit_test(cache_replicas),
        cmocka_unit_test(cache_shards),
        cmocka_unit_test(cache_joined),
        cmocka_unit_test(cache_begun),
        cmocka_unit_test(cache_killed),
        cmocka_unit_test(other_labels),
        cmocka_unit_test(other_writers),
        cmocka_unit_test(not_finite),
        cmocka_unit_test(unwritable_store),
        cmocka_unit_test(full_store),
    };
    return flow_main(argc, argv, "stored", tests, sizeof tests / sizeof *tests);
}
