/* Runs that are stopped and started again (DESIGN, Invariant 3; SEMANTICS, Who runs what): on the same layout the end
 * is the same to the last bit, on another one to rounding; what the run directory holds decides whether a start goes
 * on, says that all is done, or is refused. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "flow.h"

#define DENSE "--set 'labels.encoding={kind: top_k, k: 320, values: f32}'"
#define SAVING "--set train.checkpoint_every=3 --set train.evaluate_every=3 "

static void expect_same_end(const char *output, const char *reference, const char *weights)
{
    char *a = mem_printf("%s/%s", output, weights), *b = mem_printf("%s/%s", reference, weights);
    expect_same_metrics(output, reference);
    expect_same_file(a, b);
    mem_free(a);
    mem_free(b);
}

/* Starts a long run, kills all its ranks once it has done `step` steps. */
static void run_and_kill(const char *output, int step, const char *options)
{
    int pid = flow_start(2, "run job.yaml --set output=%s %s", output, options);
    flow_wait_for_step(output, step);
    flow_kill(pid, -1);
    assert_int_not_equal(flow_wait(pid)->status, 0);
    char *result = mem_printf("%s/model", output);
    assert_false(file_exists(result));
    mem_free(result);
}

static void killed_run(void **state)
{
    (void)state;
    const char *options = "--set train.steps=90 --set train.evaluate_every=10 --set train.checkpoint_every=20";
    train("whole", 2, options);
    run_and_kill("killed", 27, options);
    run_and_kill("killed", 55, options);
    train("killed", 2, options);
    expect_same_end("killed", "whole", "model/model.safetensors");
}

/* SIGUSR1 to a run on so many ranks once it has done 5 steps: it ends by itself, after a checkpoint, and the same
 * command goes on from there. The steps after those 5 are so many that the signal finds the run at work. */
static void stop_and_resume(int ranks, const char *more)
{
    char *options = mem_printf("--set train.steps=200 --set train.evaluate_every=20 %s", more);
    train("whole", ranks, "%s", options);

    int pid = flow_start(ranks, "run job.yaml --set output=stopped %s", options);
    flow_wait_for_step("stopped", 5);
    assert_int_equal(kill(pid, SIGUSR1), 0);
    const struct outcome *o = flow_wait(pid);
    expect_refused(o, ERR_STOPPED, "stopped on request after step ", "checkpoint");
    assert_false(file_exists("stopped/model"));
    int step = atoi(strstr(o->err, "after step ") + strlen("after step "));
    assert_in_range(step, 5, 199);
    char *checkpoint = mem_printf("stopped/checkpoints/step-%06d", step);
    assert_true(file_exists(checkpoint));

    char *line = mem_printf("going on after step %d\n", step);
    expect_outcome(retort(ranks, "run job.yaml --set output=stopped %s", options), 0, line);
    expect_same_end("stopped", "whole", "model/model.safetensors");
    mem_free(line);
    mem_free(checkpoint);
    mem_free(options);
}

static void stopped_run(void **state)
{
    (void)state;
    stop_and_resume(3, "");
}

static void stopped_alone(void **state)
{
    (void)state;
    stop_and_resume(0, "--set labels.source=local");
}

/* More steps are the same run under a constant schedule, fewer another one. */
static void longer_run(void **state)
{
    (void)state;
    train("whole", 2, SAVING);
    train("run", 2, SAVING "--set train.steps=6");
    const struct outcome *o = retort(2, "run job.yaml --set output=run --resume " SAVING);
    expect_outcome(o, 0, "going on after step 6");
    expect_same_end("run", "whole", "model/model.safetensors");
    expect_refused(retort(2, "run job.yaml --set output=run " SAVING "--set train.steps=6"), 2, "train.steps");
}

static void lora_run(void **state)
{
    (void)state;
    const char *options = SAVING "--set student.method=lora --set student.lora.dropout=0.2 --set labels.source=local";
    char *shorter = mem_printf("%s --set train.steps=6", options);
    train("whole", 2, options);
    train("run", 2, shorter);
    train("run", 2, options);
    expect_same_end("run", "whole", "adapter/adapter_model.safetensors");
    mem_free(shorter);
}

/* Layout, source of labels, window and micro-batch may change on the way. */
static void other_layout(void **state)
{
    (void)state;
    train("whole", 1, SAVING DENSE " --set labels.source=local");
    train("run", 1, SAVING DENSE " --set labels.source=local --set train.steps=3");
    train("run", 4, SAVING DENSE " --set ranks.student.tensor_parallel=3 --set labels.window=3 --set train.steps=6");
    train("run", 4, SAVING DENSE " --set ranks.teacher.tensor_parallel=2 --set train.micro_batch_tokens=64");
    expect_close_metrics("run", "whole", 1e-5);
    assert_true(flow_move_difference("run/model/model.safetensors", "whole/model/model.safetensors",
                                     "student/model.safetensors") < 2e-3);
}

static void finished_run(void **state)
{
    (void)state;
    train("run", 2, SAVING);
    char *before = flow_read("run/metrics.jsonl", NULL);
    const struct outcome *o = retort(2, "run job.yaml " SAVING);
    expect_outcome(o, 0, "this run is finished");
    char *after = flow_read("run/metrics.jsonl", NULL);
    assert_string_equal(after, before);
    mem_free(before);
    mem_free(after);
}

static void other_job(void **state)
{
    (void)state;
    train("run", 2, SAVING "--set train.steps=3");
    expect_refused(retort(2, "run job.yaml " SAVING "--set train.steps=3 --set seed=4 --set distill.alpha=0.5"), 2,
                   "seed", "distill.alpha", "--fresh");
    expect_refused(retort(2, "run job.yaml " SAVING "--set train.steps=3 --set mode=finetune"), 2, "mode");
    expect_refused(retort(2, "run job.yaml --set output=new --resume " SAVING), 2, "--resume", "new");
    expect_refused(retort(2, "run job.yaml --fresh --resume " SAVING), 2, "--resume", "--fresh");
    expect_refused(retort(2, "run job.yaml --fresh --set mode=precompute --set labels.store=st"), 2, "--fresh",
                   "precompute");
    expect_refused(retort(1, "run job.yaml --resume --set mode=evaluate"), 2, "--resume", "evaluate");
    train("run", 2, "--fresh " SAVING "--set train.steps=3 --set seed=4");
    train("reference", 2, SAVING "--set train.steps=3 --set seed=4");
    expect_same_end("run", "reference", "model/model.safetensors");
    /* a directory that no run has written is never replaced */
    assert_int_equal(file_make_directories("precious", &(struct err){0}), 0);
    flow_write("precious/thesis.txt", "years of work\n");
    expect_refused(retort(2, "run job.yaml --fresh --set output=precious"), 2, "precious", "not empty");
    assert_true(file_exists("precious/thesis.txt"));
}

static void kept_checkpoints(void **state)
{
    (void)state;
    train("run", 2, "--set train.checkpoint_every=2 --set train.keep_checkpoints=2");
    assert_false(file_exists("run/checkpoints/step-000006"));
    assert_true(file_exists("run/checkpoints/step-000008"));
    assert_true(file_exists("run/checkpoints/step-000010"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_run),   cmocka_unit_test(stopped_run), cmocka_unit_test(stopped_alone),
        cmocka_unit_test(longer_run),   cmocka_unit_test(lora_run),    cmocka_unit_test(other_layout),
        cmocka_unit_test(finished_run), cmocka_unit_test(other_job),   cmocka_unit_test(kept_checkpoints),
    };
    return flow_main(argc, argv, "resume", tests, sizeof tests / sizeof *tests);
}
