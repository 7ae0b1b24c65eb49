/* The same job on other layouts of ranks gives the same numbers (DESIGN, Invariants 1, 2 and 4; the tolerances are
 * those of SEMANTICS, Sums): to rounding where sums are cut otherwise, to the last bit where nothing but who does the
 * work changes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "flow.h"

/* Labels that say everything about the teacher: no draw of theirs can be moved by a rounding. */
#define DENSE "--set 'labels.encoding={kind: top_k, k: 320, values: f32}'"

static const double f32_tolerance = 1e-5, sampled_tolerance = 1e-3, bf16_tolerance = 1e-2, move_tolerance = 2e-3;

static void expect_same_run(const char *a, const char *b)
{
    char of_a[256], of_b[256];
    expect_same_metrics(a, b);
    snprintf(of_a, sizeof of_a, "%s/model/model.safetensors", a);
    snprintf(of_b, sizeof of_b, "%s/model/model.safetensors", b);
    expect_same_file(of_a, of_b);
}

/* The weights moved alike from where the student began. */
static void expect_close_run_of(const char *student, const char *a, const char *b, double tolerance)
{
    char of_a[256], of_b[256], start[256];
    expect_close_metrics(a, b, tolerance);
    snprintf(of_a, sizeof of_a, "%s/model/model.safetensors", a);
    snprintf(of_b, sizeof of_b, "%s/model/model.safetensors", b);
    snprintf(start, sizeof start, "%s/model.safetensors", student);
    double moved = flow_move_difference(of_a, of_b, start);
    print_message("%s and %s, move of the weights: %.2g\n", a, b, moved);
    if (!(moved <= move_tolerance))
        fail_msg("%s and %s: moves of the weights differ by %.3g, more than %.3g", a, b, moved, move_tolerance);
}

static void expect_close_run(const char *a, const char *b, double tolerance)
{
    expect_close_run_of("student", a, b, tolerance);
}

/* 8 sequences a step on 1, 2 and 3 students; three own 3, 3 and 2 of them. */
static void student_ranks(void **state)
{
    (void)state;
    train("one", 1, "--set labels.source=local " DENSE);
    train("two", 2, "--set labels.source=local " DENSE);
    train("three", 3, "--set labels.source=local " DENSE);
    expect_close_run("two", "one", f32_tolerance);
    expect_close_run("three", "one", f32_tolerance);
    assert_true(flow_value("one", 10, "kl") < 0.9 * flow_value("one", 1, "kl"));
    train("sampled-one", 1, "--set labels.source=local");
    train("sampled-three", 3, "--set labels.source=local");
    expect_close_metrics("sampled-three", "sampled-one", sampled_tolerance);
}

static void micro_batches(void **state)
{
    (void)state;
    train("one", 1, "--set labels.source=local --set train.micro_batch_tokens=64 " DENSE);
    train("four", 1, "--set labels.source=local --set train.micro_batch_tokens=256 " DENSE);
    expect_close_run("four", "one", f32_tolerance);
}

/* 9 heads on 2 and 4 shards. */
static void student_shards(void **state)
{
    (void)state;
    train("one", 2, DENSE);
    for (int shards = 2; shards <= 4; shards++) {
        char output[16];
        snprintf(output, sizeof output, "%d-shards", shards);
        train(output, 1 + shards, "--set ranks.student.tensor_parallel=%d " DENSE, shards);
        expect_close_run(output, "one", f32_tolerance);
    }
}

/* The ids that no token names all lie in one shard, and those that the teacher lacks. At temperature 1 both losses
 * could share one softmax, were it not for them. */
static void masked_shards(void **state)
{
    (void)state;
    struct model_config c;
    flow_config(&c, "llama", 1);
    c.vocab_size = 384;
    flow_make_model("wide", &c, 5);
    train("one", 2, "--set distill.temperature=1 --set student.model=wide");
    train("two", 3, "--set distill.temperature=1 --set student.model=wide --set ranks.student.tensor_parallel=2");
    expect_close_run_of("wide", "two", "one", f32_tolerance);
    train("warm", 2, DENSE " --set student.model=wide");
    train("warm-two", 3, DENSE " --set student.model=wide --set ranks.student.tensor_parallel=2");
    expect_close_run_of("wide", "warm-two", "warm", f32_tolerance);
}

/* Biases, norms of q and k, and tied embeddings have gradients that shards must sum, each in its own way. */
static void one_family(const char *family, bool tied)
{
    struct model_config c;
    flow_config(&c, family, 2);
    c.tie_word_embeddings = tied;
    flow_make_model("big", &c, 3);
    c.layers = 1;
    flow_make_model("little", &c, 4);
    print_message("%s\n", family);
    train("one", 1, "--fresh --set labels.source=local --set teacher.model=big --set student.model=little " DENSE);
    train("shards", 4,
          "--fresh --set labels.source=local --set teacher.model=big --set student.model=little "
          "--set ranks.student.tensor_parallel=4 " DENSE);
    expect_close_run_of("little", "shards", "one", f32_tolerance);
}

static void families(void **state)
{
    (void)state;
    one_family("mistral", false);
    one_family("qwen2", true);
    one_family("qwen3", true);
}

/* Threads share work whose results do not depend on how many they are; a run alone needs no launcher. */
static void threads(void **state)
{
    (void)state;
    train("one", 0, "--set labels.source=local");
    train("two", 1, "--set labels.source=local --set ranks.threads=2");
    expect_same_run("two", "one");
}

/* Two ranks on one core is seldom meant: mpirun binds so by itself, depending on how it was built and called. */
static void bound_ranks(void **state)
{
    (void)state;
    const char *run = "RETORT run job.yaml --set train.steps=1 --set output";
    const char *bound = "to 1 of the ";
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        skip();
    expect_outcome(flow_mpirun("-n 2 taskset -c 0 %s=bound", run), 0, bound);
    expect_outcome(flow_mpirun("-n 2 %s=free", run), 0, NULL);
    char *log = flow_read("free/log.txt", NULL);
    assert_null(strstr(log, bound));
    mem_free(log);
}

/* More students than sequences in a step: some own none, and are there for the sums. */
static void idle_students(void **state)
{
    (void)state;
    train("one", 2, DENSE " --set train.batch_tokens=128");
    train("idle", 4, DENSE " --set train.batch_tokens=128 --set ranks.student.replicas=3");
    expect_close_run("idle", "one", f32_tolerance);
}

static void teacher_shards(void **state)
{
    (void)state;
    train("one", 2, DENSE);
    for (int shards = 2; shards <= 4; shards++) {
        char output[16];
        snprintf(output, sizeof output, "%d-shards", shards);
        train(output, 1 + shards, "--set ranks.teacher.tensor_parallel=%d " DENSE, shards);
        expect_close_run(output, "one", f32_tolerance);
    }
    train("sampled-one", 2, "");
    train("sampled-two", 3, "--set ranks.teacher.tensor_parallel=2");
    expect_close_metrics("sampled-two", "sampled-one", sampled_tolerance);
}

/* Who makes a label, and how far ahead, changes not one bit. */
static void teacher_replicas(void **state)
{
    (void)state;
    train("one", 2, "--set labels.window=1");
    train("far", 2, "--set labels.window=8");
    train("two", 3, "--set labels.window=1 --set ranks.teacher.replicas=2");
    train("two-far", 4, "--set labels.window=8 --set ranks.teacher.replicas=3");
    expect_same_run("far", "one");
    expect_same_run("two", "one");
    expect_same_run("two-far", "one");
    train("other-draws", 2, "--set labels.seed=1");
    assert_false(flow_same_metrics("other-draws", "one"));
}

static void stream_and_local(void **state)
{
    (void)state;
    train("local", 1, "--set labels.source=local");
    train("stream", 2, "");
    expect_same_run("stream", "local");
    train("local-top", 1, "--set labels.source=local --set 'labels.encoding={kind: top_k, k: 20, values: f16}'");
    train("stream-top", 2, "--set 'labels.encoding={kind: top_k, k: 20, values: f16}'");
    expect_same_run("stream-top", "local-top");
}

/* Local labels take the student's shards for the teacher, too. */
static void stream_and_local_shards(void **state)
{
    (void)state;
    train("local", 2, "--set labels.source=local --set ranks.student.tensor_parallel=2");
    train("stream", 4, "--set ranks.teacher.tensor_parallel=2 --set ranks.student.tensor_parallel=2");
    train("local-two", 2, "--set labels.source=local");
    train("stream-two", 4, "--set ranks.teacher.replicas=2 --set ranks.student.replicas=2");
    expect_same_run("stream", "local");
    expect_same_run("stream-two", "local-two");
}

#define LORA                                                                                \
    "--set student.method=lora --set student.lora.rank=4 --set student.lora.alpha=8 --set " \
    "student.lora.dropout=0.1 " DENSE

static void lora_layouts(void **state)
{
    (void)state;
    train("one", 1, "--set labels.source=local " LORA);
    train("two", 2, "--set labels.source=local " LORA);
    train("shards", 4, "--set ranks.student.tensor_parallel=3 " LORA);
    train("stream", 2, LORA);
    expect_close_metrics("two", "one", f32_tolerance);
    expect_close_metrics("shards", "one", f32_tolerance);
    expect_same_metrics("stream", "one");
    expect_same_file("stream/adapter/adapter_model.safetensors", "one/adapter/adapter_model.safetensors");
    expect_close_metrics("one", "two", f32_tolerance);
}

static void bf16_layouts(void **state)
{
    (void)state;
    train("one", 1, "--set labels.source=local --set student.precision=bf16 --set teacher.precision=bf16 " DENSE);
    train("shards", 3,
          "--set ranks.student.tensor_parallel=2 --set student.precision=bf16 --set teacher.precision=bf16 " DENSE);
    expect_close_metrics("shards", "one", bf16_tolerance);
}

/* The least limit that a refusal names, in MiB. */
static int least_memory(const char *arguments)
{
    const struct outcome *o =
        retort(2, "run job.yaml --set output=refused --set train.memory_limit=1MiB %s", arguments);
    expect_refused(o, 2, "train.memory_limit: a rank needs ", " MiB at least here; lower train.micro_batch_tokens");
    return atoi(strstr(o->err, "a rank needs ") + strlen("a rank needs "));
}

/* Activations that are computed again are those that were thrown away: with as little memory as will do, and with room
 * for some of the blocks. */
static void memory_limit(void **state)
{
    (void)state;
    static const char *const arguments[] = {
        "--set student.model=deep --set train.micro_batch_tokens=256",
        "--set student.model=deep --set train.micro_batch_tokens=256 --set student.method=lora "
        "--set 'student.lora={rank: 4, dropout: 0.1, targets: [q_proj, o_proj, up_proj, down_proj]}'",
        "--set student.model=deep --set train.micro_batch_tokens=256 --set student.precision=bf16",
    };
    struct model_config c;
    flow_config(&c, "qwen3", 6);
    flow_make_model("deep", &c, 5);
    for (int i = 0; i < 3; i++) {
        const int least = least_memory(arguments[i]);
        const char *result = i != 1 ? "%s/model/model.safetensors" : "%s/adapter/adapter_model.safetensors";
        train("unlimited", 2, "--fresh %s", arguments[i]);
        const int some = i == 2 ? 1 : 2; /* blocks in bf16 are smaller */
        for (int more = 0; more <= some; more += some) {
            train("limited", 2, "--fresh --set train.memory_limit=%dMiB %s", least + more, arguments[i]);
            expect_same_metrics("limited", "unlimited");
            char *a = mem_printf(result, "limited"), *b = mem_printf(result, "unlimited");
            expect_same_file(a, b);
            mem_free(a);
            mem_free(b);
            char *log = flow_read("limited/log.txt", NULL);
            assert_non_null(strstr(log, " of 6 blocks are computed twice"));
            mem_free(log);
        }
    }
}

/* The line of a run's log that names the instruction set. mem_free it. */
static char *isa_line(const char *output)
{
    char *path = mem_printf("%s/log.txt", output), *text = flow_read(path, NULL);
    const char *found = strstr(text, "instruction set ");
    assert_non_null(found);
    char *line = mem_printf("%.*s", (int)strcspn(found, "\n"), found);
    mem_free(text);
    mem_free(path);
    return line;
}

/* A node that can do less than the one beside it: both do what the lesser can, to the last bit. */
static void instruction_sets(void **state)
{
    (void)state;
    static const char *const caps[] = {"plain", "avx2", "avx512"};
    flow_write("capped.sh", "RETORT_ISA=$1\nexport RETORT_ISA\nshift\nexec \"$@\"\n");
    for (int i = 0; i < 3; i++) {
        const char *run = "RETORT run job.yaml --fresh --set train.steps=3 --set student.precision=bf16 "
                          "--set teacher.precision=bf16 --set output";
        expect_outcome(flow_mpirun("-n 1 %1$s=mixed : -n 1 sh capped.sh %2$s %1$s=mixed", run, caps[i]), 0, NULL);
        expect_outcome(flow_mpirun("-n 2 sh capped.sh %2$s %1$s=equal", run, caps[i]), 0, NULL);
        expect_same_run("mixed", "equal");
        char *mixed = isa_line("mixed"), *equal = isa_line("equal");
        assert_string_equal(mixed, equal);
        assert_true(i > 0 || strstr(mixed, "instruction set plain,"));
        mem_free(mixed);
        mem_free(equal);
    }
}

/* A student that is its own teacher has nothing to learn from it: to rounding with whole labels, to the noise of the
 * draws with sampled ones, for which their own distribution's entropy would be more than a nat off (SEMANTICS, Labels).
 */
static void equal_models(void **state)
{
    (void)state;
    train("dense", 2, "--set student.model=teacher --set train.steps=1 " DENSE);
    assert_true(fabs(flow_value("dense", 0, "validation.kl")) < 1e-6);
    assert_true(fabs(flow_value("dense", 1, "kl")) < 1e-6);

    char *text = flow_read("text.txt", NULL);
    flow_write("text.txt", "%1$s%1$s%1$s%1$s%1$s%1$s%1$s%1$s%1$s%1$s%1$s%1$s%1$s%1$s%1$s%1$s%1$s%1$s%1$s%1$s", text);
    mem_free(text);
    train("sampled", 2, "--set student.model=teacher --set train.steps=1 --set distill.temperature=1");
    print_message("sampled: kl %g over %g tokens\n", flow_value("sampled", 0, "validation.kl"),
                  flow_value("sampled", 0, "validation.supervised_tokens"));
    assert_true(flow_value("sampled", 0, "validation.supervised_tokens") >= 10000);
    assert_true(fabs(flow_value("sampled", 0, "validation.kl")) < 0.01);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(student_ranks),    cmocka_unit_test(micro_batches),
        cmocka_unit_test(student_shards),   cmocka_unit_test(masked_shards),
        cmocka_unit_test(families),         cmocka_unit_test(threads),
        cmocka_unit_test(bound_ranks),      cmocka_unit_test(idle_students),
        cmocka_unit_test(teacher_shards),   cmocka_unit_test(teacher_replicas),
        cmocka_unit_test(stream_and_local), cmocka_unit_test(stream_and_local_shards),
        cmocka_unit_test(lora_layouts),     cmocka_unit_test(bf16_layouts),
        cmocka_unit_test(memory_limit),     cmocka_unit_test(instruction_sets),
        cmocka_unit_test(equal_models),
    };
    return flow_main(argc, argv, "layouts", tests, sizeof tests / sizeof *tests);
}
