/* What a job means once it is read: values, paths, --set, places, resume, what is not built, what it needs. The error
 * texts of broken files stand in spec/fail_*.yaml. */
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "conf/node.h"
#include "spec.h"

#define DISTILL                                                                     \
    "teacher: {model: ../m/t.gguf}\n"                                               \
    "student: {model: /abs/s}\n"                                                    \
    "data:\n"                                                                       \
    "  train: [{path: a.jsonl, format: completion}, {path: b.txt, format: text}]\n" \
    "  sequence_length: 128\n"                                                      \
    "train: {steps: 10, batch_tokens: 1024}\n"

#define SET(...)          \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }

/* The absolute form of a path below the current directory. */
static void assert_path(const char *path, const char *below)
{
    char *expected = file_absolute(below);
    assert_string_equal(path, expected);
    mem_free(expected);
}

static void defaults_of_a_small_job(void **state)
{
    (void)state;
    struct job *j = spec_parse(DISTILL, NULL);
    assert_string_equal(j->name, "j");
    assert_path(j->output, "runs/j");
    assert_int_equal(j->mode, MODE_DISTILL);
    assert_int_equal(j->ranks.teacher.replicas, 1);
    assert_int_equal(j->ranks.student.replicas, 0);
    assert_int_equal(j->ranks.student.pipeline_parallel, 1);
    assert_int_equal(j->labels.encoding.kind, ENCODING_SAMPLED);
    assert_true(j->labels.encoding.threshold == 0.02);
    assert_true(j->distill.alpha == 0.7);
    assert_true(j->distill.beta == 1 - 0.7);
    assert_true(j->distill.temperature_squared);
    assert_true(j->train.optimizer.betas[0] == 0.9 && j->train.optimizer.betas[1] == 0.95);
    assert_int_equal(j->train.micro_batch_tokens, 0);
    assert_int_equal(j->student.lora.targets.count, 2);
    assert_string_equal(j->student.lora.targets.items[1], "v_proj");
    assert_int_equal(j->labels.part + j->labels.parts, 0);
    assert_null(j->data.template_name);
    job_free(j);
}

static void values_are_exact(void **state)
{
    (void)state;
    struct job *j = spec_parse(DISTILL "seed: 9223372036854775807\n"
                                       "distill: {temperature: 2.0e-1, alpha: .5, beta: 0}\n"
                                       "labels: {part: 3/7, encoding: {kind: top_k, k: 49152, values: f32}}\n",
                               SET("train.memory_limit=3GiB", "train.optimizer.learning_rate=1e-5"));
    assert_true(j->seed == INT64_MAX);
    assert_true(j->distill.temperature == 0.2 && j->distill.alpha == 0.5 && j->distill.beta == 0);
    assert_int_equal(j->labels.part, 3);
    assert_int_equal(j->labels.parts, 7);
    assert_int_equal(j->labels.encoding.k, 49152);
    assert_int_equal(j->labels.encoding.values, JOB_VALUES_F32);
    assert_true(j->train.memory_limit == 3LL << 30);
    assert_true(j->train.optimizer.learning_rate == 1e-5);
    assert_int_equal(j->data.train.items[1].format, FORMAT_TEXT);
    job_free(j);
}

static void paths_begin_where_they_should(void **state)
{
    (void)state;
    struct job *j = spec_parse(DISTILL "output: ./out//x\nlabels: {store: st}\n", SET("student.adapter=ad"));
    assert_path(j->teacher.model, "dir/../m/t.gguf");
    assert_string_equal(j->student.model, "/abs/s");
    assert_path(j->data.train.items[0].path, "dir/a.jsonl");
    assert_path(j->output, "out/x");
    assert_path(j->labels.store, "st");
    assert_path(j->student.adapter, "ad");
    job_free(j);
    j = spec_parse(DISTILL, SET("data.train=[{path: c.txt, format: text}]"));
    assert_path(j->data.train.items[0].path, "c.txt");
    assert_int_equal(j->data.train.count, 1);
    job_free(j);
}

/* The same file means the same job from wherever it is named. */
static void names_of_a_file_agree(void **state)
{
    (void)state;
    struct err e = {0};
    struct job *here = NULL, *there = NULL;
    char *absolute = file_absolute("j.yaml");
    assert_done(job_parse(&here, DISTILL, strlen(DISTILL), "./j.yaml", NULL, 0, &e), &e);
    assert_done(job_parse(&there, DISTILL, strlen(DISTILL), absolute, NULL, 0, &e), &e);
    assert_string_equal(here->teacher.model, there->teacher.model);
    job_free(here);
    job_free(there);
    mem_free(absolute);
}

static void a_directory_that_is_not_utf8(void **state)
{
    (void)state;
    struct err e = {0};
    struct job *job = NULL;
    assert_int_equal(job_parse(&job, DISTILL, strlen(DISTILL), "d\xff/j.yaml", NULL, 0, &e), -1);
    assert_non_null(strstr(e.text, "teacher.model: \"../m/t.gguf\" lies below a directory whose name is not UTF-8"));
}

static void overrides_replace(void **state)
{
    (void)state;
    struct job *j = spec_parse(DISTILL "labels: {encoding: {kind: sampled, threshold: 0.5, values: f32}}\n",
                               SET("labels.encoding={kind: top_k, k: 9}"));
    assert_int_equal(j->labels.encoding.kind, ENCODING_TOP_K);
    assert_int_equal(j->labels.encoding.values, JOB_VALUES_U8); /* not named: the default again */
    assert_true(j->labels.encoding.threshold == 0.02);
    job_free(j);
    j = spec_parse(DISTILL, SET("train.steps=11", "train.steps=12", "student.lora.targets=[o_proj]", "name='a b'"));
    assert_int_equal(j->train.steps, 12);
    assert_int_equal(j->train.batch_tokens, 1024);
    assert_string_equal(j->student.lora.targets.items[0], "o_proj");
    assert_string_equal(j->name, "a b");
    job_free(j);
    j = spec_parse(DISTILL, SET("data.system_prompt=", "data.template=chatml"));
    assert_null(j->data.system_prompt);
    assert_string_equal(j->data.template_name, "chatml");
    job_free(j);
    j = spec_parse(DISTILL, SET("data.system_prompt=''"));
    assert_string_equal(j->data.system_prompt, "");
    job_free(j);
}

static void another_kind_by_override(void **state)
{
    (void)state;
    const char *text = DISTILL "labels: {encoding: {kind: sampled, threshold: 0.5}}\n";
    struct job *j = spec_parse(text, SET("labels.encoding.kind=random", "labels.encoding.draws=8"));
    assert_int_equal(j->labels.encoding.kind, ENCODING_RANDOM);
    assert_int_equal(j->labels.encoding.draws, 8);
    assert_true(j->labels.encoding.threshold == 0.02); /* the file's is out of use */
    job_free(j);
    assert_string_equal(
        spec_error(text, SET("labels.encoding.kind=random", "labels.encoding.threshold=0.1")),
        "--set labels.encoding.threshold: belongs to kind: sampled, and labels.encoding.kind is random");
}

static void where_a_key_was_given(void **state)
{
    (void)state;
    struct job *j = spec_parse(DISTILL, SET("seed=4", "student.model=x"));
    assert_string_equal(job_where(j, "teacher.model"), "dir/j.yaml:1:18: teacher.model");
    assert_string_equal(job_where(j, "data.train[1].path"), "dir/j.yaml:4:55: data.train[1].path");
    assert_string_equal(job_where(j, "student.model"), "--set student.model");
    assert_string_equal(job_where(j, "seed"), "--set seed");
    assert_string_equal(job_where(j, "labels.window"), "labels.window");
    job_free(j);
    j = spec_parse(DISTILL, SET("data.train=[{path: c, format: text}]"));
    assert_string_equal(job_where(j, "data.train[0].path"), "--set data.train[0].path");
    assert_string_equal(job_where(j, "data.train[1].path"), "data.train[1].path"); /* the file's is gone */
    job_free(j);
}

/* Names of the keys that differ between DISTILL and DISTILL with the overrides; "" if the run may be resumed. */
static const char *differing(const char *const *old, const char *const *new)
{
    static char names[200];
    struct job *a = spec_parse(DISTILL, old), *b = spec_parse(DISTILL, new);
    struct strbuf out;
    strbuf_init(&out);
    bool same = job_same_run(a, b, &out);
    assert_int_equal(same, out.size == 0);
    snprintf(names, sizeof names, "%s", out.data);
    strbuf_release(&out);
    job_free(a);
    job_free(b);
    return names;
}

static void what_may_change_at_resume(void **state)
{
    (void)state;
    assert_string_equal(
        differing(NULL,
                  SET("ranks={teacher: {replicas: 3}, threads: 2}", "labels.source=local", "labels.store=/x",
                      "labels.cache=true", "labels.window=9", "train.micro_batch_tokens=256", "train.memory_limit=1GiB",
                      "train.evaluate_every=7", "train.checkpoint_every=7", "train.keep_checkpoints=1")),
        "");
    assert_string_equal(differing(NULL, SET("seed=1", "train.optimizer.betas=[0.9, 0.99]", "labels.seed=1")),
                        "seed, labels.seed, train.optimizer.betas");
    assert_string_equal(differing(NULL, SET("student.lora.targets=[v_proj, q_proj]")), "student.lora.targets");
    assert_string_equal(differing(NULL, SET("data.train=[{path: a.jsonl, format: text}]")), "data.train");
    assert_string_equal(differing(NULL, SET("distill.beta=0.30000000000000004")), ""); /* 1 - 0.7 */
    assert_string_equal(differing(NULL, SET("distill.beta=0.3")), "distill.beta");
}

static void steps_may_grow_if_constant(void **state)
{
    (void)state;
    const char *constant = "train.schedule.name=constant";
    assert_string_equal(differing(NULL, SET("train.steps=11")), "train.steps");
    assert_string_equal(differing(SET(constant), SET(constant, "train.steps=11")), "");
    assert_string_equal(differing(SET(constant), SET(constant, "train.steps=9")), "train.steps");
    assert_string_equal(differing(NULL, SET(constant, "train.steps=11")), "train.schedule.name");
}

static void assert_unbuilt(const char *const *overrides, int count, const char *expected)
{
    struct job *j = spec_parse(DISTILL, overrides);
    struct strbuf out;
    strbuf_init(&out);
    assert_int_equal(job_unbuilt(j, &out), count);
    assert_string_equal(out.data, expected);
    strbuf_release(&out);
    job_free(j);
}

static void what_is_not_built(void **state)
{
    (void)state;
    assert_unbuilt(NULL, 0, "");
    assert_unbuilt(SET("student.method=lora", "labels.source=local", "labels.encoding.kind=top_k",
                       "student.precision=f32", "teacher.adapter=/a", "train.schedule.name=linear"),
                   0, "");
    assert_unbuilt(SET("teacher.precision=nf4", "student.method=qlora", "student.lora.init=pissa",
                       "ranks.teacher.pipeline_parallel=2", "distill.loss=jsd"),
                   5,
                   "--set ranks.teacher.pipeline_parallel: 2 is not built yet\n"
                   "--set teacher.precision: nf4 is not built yet\n"
                   "--set student.method: qlora is not built yet\n"
                   "--set student.lora.init: pissa is not built yet\n"
                   "--set distill.loss: jsd is not built yet\n");
    assert_unbuilt(SET("labels={source: store, store: /x, cache: true, allow_partial: true}",
                       "labels.encoding.kind=hidden", "train.memory_limit=1GiB", "ranks.after_cache=join"),
                   0, "");
    assert_unbuilt(SET("mode=precompute", "labels={store: /x, part: 1/2, whole_corpus: true}"), 0, "");
    /* a mode asks only for what it reads */
    assert_unbuilt(SET("mode=finetune", "teacher.precision=nf4", "labels.source=store", "labels.part=1/2"), 0, "");
}

static void what_is_seldom_meant(void **state)
{
    (void)state;
    struct strbuf out;
    strbuf_init(&out);
    struct job *j = spec_parse(DISTILL, NULL);
    assert_int_equal(job_warnings(j, &out), 0);
    job_free(j);
    j = spec_parse(DISTILL, SET("distill.temperature=2", "train.schedule.warmup_steps=11"));
    assert_int_equal(job_warnings(j, &out), 2);
    assert_non_null(strstr(out.data, "--set distill.temperature: "));
    assert_non_null(strstr(out.data, "--set train.schedule.warmup_steps: 11 is more than train.steps, which is 10"));
    job_free(j);
    j = spec_parse(DISTILL,
                   SET("distill.temperature=2", "labels.encoding.kind=top_k", "train.schedule.warmup_steps=10"));
    assert_int_equal(job_warnings(j, &out), 0);
    job_free(j);
    j = spec_parse(DISTILL, SET("mode=finetune", "distill.temperature=2"));
    assert_int_equal(job_warnings(j, &out), 0);
    job_free(j);
    strbuf_release(&out);
}

/* The keys of the input paths, comma-separated. */
static const char *inputs(const char *const *overrides)
{
    static char names[300];
    struct job_path paths[8];
    struct job *j = spec_parse(DISTILL, overrides);
    int count = job_input_paths(j, paths, 8);
    names[0] = 0;
    for (int i = 0; i < count; i++) {
        assert_true(paths[i].path[0] == '/');
        strcat(strcat(names, i ? ", " : ""), paths[i].key);
    }
    job_free(j);
    return names;
}

static void paths_that_a_mode_reads(void **state)
{
    (void)state;
    const char *validation = "data.validation=[{path: v, format: chat}]";
    assert_string_equal(inputs(NULL), "teacher.model, student.model, data.train[0].path, data.train[1].path");
    assert_string_equal(
        inputs(SET("mode=finetune", "student.adapter=a", validation)),
        "student.model, student.adapter, data.train[0].path, data.train[1].path, data.validation[0].path");
    assert_string_equal(inputs(SET("mode=evaluate", "teacher.adapter=a", validation)),
                        "teacher.model, teacher.adapter, student.model, data.validation[0].path");
    assert_string_equal(inputs(SET("mode=precompute", "labels.store=x", "data.train=[{path: a, format: text}]")),
                        "teacher.model, student.model, data.train[0].path");
    assert_string_equal(inputs(SET("labels={source: store, store: x}")),
                        "student.model, data.train[0].path, data.train[1].path, labels.store");
    struct job_path one[1];
    struct job *j = spec_parse(DISTILL, NULL);
    assert_int_equal(job_input_paths(j, one, 1), 4); /* counted beyond the room, not written */
    assert_string_equal(one[0].key, "teacher.model");
    job_free(j);
}

static void evaluate_takes_a_store_as_local(void **state)
{
    (void)state;
    struct job *j =
        spec_parse(DISTILL, SET("mode=evaluate", "labels.source=store", "data.validation=[{path: v, format: chat}]"));
    assert_int_equal(j->labels.source, SOURCE_LOCAL);
    job_free(j);
}

/* A whole small job with n spaces in it, a comment of n bytes, or n items: too much is refused, not read for ever. */
static void absurd_sizes(void **state)
{
    (void)state;
    struct strbuf text;
    strbuf_init(&text);
    strbuf_adds(&text, "#");
    for (int i = 0; i < NODE_TEXT_LIMIT; i++)
        strbuf_addc(&text, 'x');
    assert_string_equal(spec_error(text.data, NULL),
                        "dir/j.yaml:1:1: 1048577 bytes are too many for a job; at most 1048576");
    strbuf_clear(&text);
    strbuf_adds(&text, "data: {train: [");
    for (int i = 0; i <= NODE_LIMIT; i++)
        strbuf_adds(&text, "a,");
    strbuf_adds(&text, "]}");
    assert_non_null(strstr(spec_error(text.data, NULL), "too large for a job: at most 10000 values, 8 deep"));
    strbuf_clear(&text);
    for (int i = 0; i < 50000; i++)
        strbuf_adds(&text, "[");
    assert_non_null(strstr(spec_error(text.data, NULL), "too large for a job"));
    strbuf_release(&text);
}

/* A value as long as you like is shown in part, on one line, cut between characters. */
static void long_values_in_errors(void **state)
{
    (void)state;
    char text[600] = "seed: \"";
    for (int i = 0; i < 100; i++)
        strcat(text, "\u00e9");
    strcat(text, "\\n\"");
    const char *error = spec_error(text, NULL);
    assert_non_null(strstr(error, "\u00e9\u00e9...\""));
    assert_true(strlen(error) < 200);
    assert_non_null(strstr(spec_error("seed: \"a\\nb\"", NULL), "got \"a?b\""));
}

static void utf16_is_refused(void **state)
{
    (void)state;
    static const char text[] = "\xff\xfes\0e\0e\0d\0:\0 \0001\0\n\0";
    struct err e = {0};
    struct job *job = NULL;
    assert_int_equal(job_parse(&job, text, sizeof text - 1, "j.yaml", NULL, 0, &e), -1);
    assert_string_equal(e.text, "j.yaml:1:1: not YAML: invalid leading UTF-8 octet; the file must be UTF-8 text");
}

static void every_cut_is_survived(void **state)
{
    (void)state;
    for (size_t n = 0; n < strlen(DISTILL); n++) {
        struct err e = {0};
        struct job *job = NULL;
        if (job_parse(&job, DISTILL, n, "j.yaml", NULL, 0, &e))
            assert_int_equal(e.code, ERR_USAGE);
        job_free(job);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_of_a_small_job),
        cmocka_unit_test(values_are_exact),
        cmocka_unit_test(paths_begin_where_they_should),
        cmocka_unit_test(names_of_a_file_agree),
        cmocka_unit_test(a_directory_that_is_not_utf8),
        cmocka_unit_test(overrides_replace),
        cmocka_unit_test(another_kind_by_override),
        cmocka_unit_test(where_a_key_was_given),
        cmocka_unit_test(what_may_change_at_resume),
        cmocka_unit_test(steps_may_grow_if_constant),
        cmocka_unit_test(what_is_not_built),
        cmocka_unit_test(what_is_seldom_meant),
        cmocka_unit_test(paths_that_a_mode_reads),
        cmocka_unit_test(evaluate_takes_a_store_as_local),
        cmocka_unit_test(absurd_sizes),
        cmocka_unit_test(long_values_in_errors),
        cmocka_unit_test(utf16_is_refused),
        cmocka_unit_test(every_cut_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
