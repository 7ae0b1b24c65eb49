/* The other modes of a job and the other way to launch one: finetune, evaluate, MPMD launches with --role. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "flow.h"

static void finetune(void **state)
{
    (void)state;
    const char *options = "--set mode=finetune --set train.checkpoint_every=5";
    train("one", 1, options);
    train("two", 2, options);
    expect_close_metrics("two", "one", 1e-5);
    /* no teacher: the loss is the cross-entropy, and it falls */
    assert_true(flow_value("one", 10, "loss") == flow_value("one", 10, "ce"));
    assert_true(flow_value("one", 10, "loss") < 0.9 * flow_value("one", 1, "loss"));
    assert_true(flow_value("one", 10, "kl") == 0);
    train("no-teacher", 1, "--set mode=finetune --set teacher.model=null");
    expect_same_metrics("no-teacher", "one");
}

/* What a run leaves behind is what DESIGN says, and says who was where. */
static void run_directory(void **state)
{
    (void)state;
    static const char *const files[] = {"job.yaml",          "metrics.jsonl",        "log.txt",
                                        "model/config.json", "model/tokenizer.json", "model/model.safetensors"};
    train("run", 2, "--set train.steps=2 --set train.evaluate_every=1");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = mem_printf("run/%s", files[i]);
        if (!file_exists(path))
            fail_msg("there is no %s", path);
        mem_free(path);
    }
    char *log = flow_read("run/log.txt", NULL), *lines = flow_read("run/metrics.jsonl", NULL), *rest = lines;
    assert_non_null(strstr(log, "teacher"));
    assert_non_null(strstr(log, "MB of weights"));
    json_t *first = json_loads(strsep(&rest, "\n"), 0, NULL), *second = json_loads(strsep(&rest, "\n"), 0, NULL);
    expect_fields(first, "step", "validation");
    expect_fields(json_object_get(first, "validation"), "loss", "kl", "ce", "perplexity", "accuracy",
                  "supervised_tokens", "seconds");
    expect_fields(second, "step", "loss", "kl", "ce", "learning_rate", "grad_norm", "tokens", "supervised_tokens",
                  "seconds", "tokens_per_second", "label_wait_seconds", "teacher_wait_seconds", "reduce_wait_seconds");
    json_decref(first);
    json_decref(second);
    mem_free(log);
    mem_free(lines);
    expect_outcome(retort(0, "check run/job.yaml --files --ranks 2"), 0, NULL);
    expect_outcome(retort(0, "score --model run/model --data text.txt"), 0, NULL);
}

/* --- evaluate --- */

/* The rows of output/evaluation.json; json_decref *document. */
static json_t *read_evaluation(const char *output, json_t **document)
{
    char *path = mem_printf("%s/evaluation.json", output);
    json_error_t error;
    *document = json_load_file(path, 0, &error);
    if (!*document)
        fail_msg("%s: %s", path, error.text);
    mem_free(path);
    expect_fields(*document, "tokens", "supervised_tokens", "models");
    return json_object_get(*document, "models");
}

static double of_row(json_t *models, size_t row, const char *name, const char *field)
{
    json_t *model = json_array_get(models, row);
    expect_fields(model, "name", "parameters", "perplexity", "kl", "accuracy", "tokens_per_second");
    assert_string_equal(json_string_value(json_object_get(model, "name")), name);
    return json_number_value(json_object_get(model, field));
}

static void evaluate(const char *output, int ranks, const char *options)
{
    const struct outcome *o = retort(ranks, "run job.yaml --set mode=evaluate --set output=%s %s", output, options);
    expect_outcome(o, 0, NULL);
    assert_non_null(strstr(o->out, "perplexity"));
    assert_non_null(strstr(o->out, "student_before"));
}

/* An evaluation keeps a log of its own, from its first line to the error that ends it; what a run has written there is
 * not its own, and a run may come after it. */
static void evaluate_log(void **state)
{
    (void)state;
    struct err e = {0};
    flow_make_student("bad");
    assert_done(model_maker_spoil("bad", "model.norm.weight", &e), &e);
    expect_refused(retort(1, "run job.yaml --set mode=evaluate --set labels.source=local --set student.model=bad"), 3,
                   "finite");
    char *failed = flow_read("run/evaluate.log", NULL);
    assert_non_null(strstr(failed, "instruction set"));
    assert_non_null(strstr(failed, "finite"));
    assert_false(file_exists("run/log.txt"));

    train("run", 2, "--set train.steps=2");
    char *before = flow_read("run/log.txt", NULL);
    evaluate("run", 2, "");
    char *after = flow_read("run/log.txt", NULL), *both = flow_read("run/evaluate.log", NULL);
    assert_string_equal(after, before);
    assert_true(strlen(both) > strlen(failed) && !strncmp(both, failed, strlen(failed)));
    mem_free(failed);
    mem_free(before);
    mem_free(after);
    mem_free(both);
}

/* Before the run, whose directory it may not take, and after it; beside what the run itself has measured. */
static void evaluate_table(void **state)
{
    (void)state;
    json_t *document, *models;
    evaluate("run", 2, "");
    models = read_evaluation("run", &document);
    assert_int_equal(json_array_size(models), 2); /* nothing is trained yet */
    double before = of_row(models, 1, "student_before", "kl"),
           perplexity = of_row(models, 1, "student_before", "perplexity");
    assert_true(of_row(models, 0, "teacher", "kl") == 0);
    assert_true(of_row(models, 0, "teacher", "parameters") > of_row(models, 1, "student_before", "parameters"));
    json_decref(document);

    train("run", 2, "--set distill.temperature=1");
    assert_true(fabs(log(perplexity) - flow_value("run", 0, "validation.ce")) < 1e-5);
    assert_true(fabs(before - flow_value("run", 0, "validation.kl")) <
                0.1 * before); /* that one is of sampled labels */
    evaluate("run", 2, "");
    models = read_evaluation("run", &document);
    assert_int_equal(json_array_size(models), 3);
    assert_true(of_row(models, 1, "student_before", "kl") == before);
    assert_true(of_row(models, 2, "student_after", "kl") < before);
    assert_true(fabs(log(of_row(models, 2, "student_after", "perplexity")) - flow_value("run", 10, "validation.ce")) <
                1e-5);
    json_decref(document);
}

/* The student after training is the one before where nothing is learned. */
static void evaluate_untrained(void **state)
{
    (void)state;
    json_t *document;
    train("run", 1,
          "--set labels.source=local --set train.steps=1 --set train.optimizer.learning_rate=1.0e-30 "
          "--set train.optimizer.weight_decay=0");
    evaluate("run", 1, "--set labels.source=local");
    json_t *models = read_evaluation("run", &document);
    double kl = of_row(models, 1, "student_before", "kl"),
           perplexity = of_row(models, 1, "student_before", "perplexity");
    assert_true(of_row(models, 2, "student_after", "kl") == kl);
    assert_true(of_row(models, 2, "student_after", "perplexity") == perplexity);
    json_decref(document);
}

static void expect_close_rows(const char *a, const char *b)
{
    static const char *const names[] = {"teacher", "student_before"};
    static const char *const fields[] = {"parameters", "perplexity", "kl", "accuracy"};
    json_t *of_a, *of_b, *x = read_evaluation(a, &of_a), *y = read_evaluation(b, &of_b);
    assert_int_equal(json_array_size(x), json_array_size(y));
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < 4; k++) {
            double p = of_row(x, i, names[i], fields[k]), q = of_row(y, i, names[i], fields[k]);
            if (!(fabs(p - q) <= 1e-5 * fabs(q)))
                fail_msg("%s and %s: %s of %s: %.9g and %.9g", a, b, fields[k], names[i], p, q);
        }
    json_decref(of_a);
    json_decref(of_b);
}

static void evaluate_layouts(void **state)
{
    (void)state;
    evaluate("local", 1, "--set labels.source=local");
    evaluate("shards", 2, "--set labels.source=local --set ranks.student.tensor_parallel=2");
    evaluate("stream", 4, "--set ranks.teacher.tensor_parallel=2 --set ranks.student.replicas=2");
    evaluate("replicas", 4, "--set ranks.teacher.replicas=2 --set ranks.student.tensor_parallel=2");
    expect_close_rows("shards", "local");
    expect_close_rows("stream", "local");
    expect_close_rows("replicas", "local");
}

/* --- MPMD --- */

/* Roles by launch are other ranks, not other numbers: here the students come first. */
static void roles(void **state)
{
    (void)state;
    train("plain", 3, "--set ranks.teacher.tensor_parallel=2");
    const char *options = "--set ranks.teacher.tensor_parallel=2 --set output=mpmd";
    expect_outcome(
        flow_mpirun("-n 1 RETORT run job.yaml --role student %1$s : -n 2 RETORT run job.yaml --role teacher %1$s",
                    options),
        0, NULL);
    expect_same_metrics("mpmd", "plain");
    expect_same_file("mpmd/model/model.safetensors", "plain/model/model.safetensors");
    expect_refused(
        flow_mpirun("-n 2 RETORT run job.yaml --role student %1$s : -n 1 RETORT run job.yaml --role teacher %1$s",
                    "--set output=wrong --set ranks.teacher.tensor_parallel=2"),
        2, "--role", "1", "2");
    expect_refused(flow_mpirun("-n 1 RETORT run job.yaml %1$s : -n 2 RETORT run job.yaml --role teacher %1$s",
                               "--set output=wrong --set ranks.teacher.tensor_parallel=2"),
                   2, "--role");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finetune),       cmocka_unit_test(run_directory),      cmocka_unit_test(evaluate_log),
        cmocka_unit_test(evaluate_table), cmocka_unit_test(evaluate_untrained), cmocka_unit_test(evaluate_layouts),
        cmocka_unit_test(roles),
    };
    return flow_main(argc, argv, "modes", tests, sizeof tests / sizeof *tests);
}
