/* Bad input is normal input: whatever is wrong, a run ends by itself with the status of its kind and one line that says
 * where, on one rank and on several, where those that have found nothing wrong must not wait for the one that has. */
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "flow.h"

enum { USAGE = 2, INPUT = 3, ENVIRONMENT = 4 };

/* Alone with local labels, then on 4 ranks: a teacher and three students. options and texts as for retort and
 * expect_refused. */
#define refused_everywhere(status, options, ...)                                                              \
    do {                                                                                                      \
        expect_refused(retort(1, "run job.yaml --set labels.source=local %s", options), status, __VA_ARGS__); \
        expect_refused(retort(4, "run job.yaml %s", options), status, __VA_ARGS__);                           \
    } while (0)

/* --- damage --- */

static void write_bytes(const char *path, const void *bytes, size_t size)
{
    struct err e = {0};
    assert_done(file_write(path, bytes, size, &e), &e);
}

/* The first `from` in the header of bad's weights becomes `to`; the bytes of the tensors stay. */
static void edit_header(const char *from, const char *to)
{
    size_t size;
    uint64_t header;
    char *old = flow_read("bad/model.safetensors", &size);
    memcpy(&header, old, sizeof header);
    char *at = memmem(old + 8, header, from, strlen(from));
    if (!at)
        fail_msg("no %s in the header", from);
    size_t before = (size_t)(at - old), cut = strlen(from), put = strlen(to), rest = size - before - cut;
    char *new = mem_alloc(before + put + rest);
    memcpy(new, old, before);
    memcpy(new + before, to, put);
    memcpy(new + before + put, at + cut, rest);
    header += put - cut;
    memcpy(new, &header, sizeof header);
    write_bytes("bad/model.safetensors", new, before + put + rest);
    mem_free(new);
    mem_free(old);
}

/* --- models --- */

#define BAD_STUDENT "--set student.model=bad"
#define BAD_TEACHER "--set teacher.model=bad"
#define LORA "--set student.method=lora"

static void broken_weights(void **state)
{
    (void)state;
    flow_make_student("bad");
    assert_int_equal(truncate("bad/model.safetensors", 40000), 0);
    refused_everywhere(INPUT, BAD_STUDENT, "bad/model.safetensors");
    flow_make_student("bad");
    edit_header("\"data_offsets\":[0,", "\"data_offsets\":[18446744073709551600,");
    refused_everywhere(INPUT, BAD_TEACHER, "bad/model.safetensors");
    flow_make_student("bad");
    edit_header("\"shape\":[72]", "\"shape\":[71]");
    refused_everywhere(INPUT, BAD_STUDENT, "bad/model.safetensors");
    flow_make_student("bad");
    edit_header("\"model.norm.weight\"", "\"model.norm.weighd\"");
    refused_everywhere(INPUT, BAD_TEACHER, "bad", "model.norm.weight");
}

/* Only the rank whose shard holds the value sees it. */
static void spoilt_weight(void **state)
{
    (void)state;
    struct err e = {0};
    flow_make_student("bad");
    assert_done(model_maker_spoil("bad", "model.layers.0.mlp.down_proj.weight", &e), &e);
    refused_everywhere(INPUT, BAD_STUDENT, "bad/model.safetensors", "model.layers.0.mlp.down_proj.weight", "finite");
    expect_refused(retort(4, "run job.yaml --set ranks.student.tensor_parallel=3 " BAD_STUDENT), INPUT,
                   "bad/model.safetensors", "model.layers.0.mlp.down_proj.weight", "finite");
    expect_refused(retort(4, "run job.yaml --set ranks.teacher.tensor_parallel=3 " BAD_TEACHER), INPUT,
                   "bad/model.safetensors", "model.layers.0.mlp.down_proj.weight", "finite");
}

/* The rows of this B are cut: of three shards only one sees the value. */
static void spoilt_adapter(void **state)
{
    (void)state;
    const char *tensor = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight";
    struct err e = {0};
    train("lora", 1, "--set labels.source=local --set train.steps=1 --set train.evaluate_every=0 " LORA);
    assert_done(model_maker_spoil_file("lora/adapter/adapter_model.safetensors", tensor, &e), &e);
    refused_everywhere(INPUT, LORA " --set student.adapter=lora/adapter", "adapter_model.safetensors", tensor,
                       "finite");
    expect_refused(
        retort(4, "run job.yaml --set ranks.student.tensor_parallel=3 " LORA " --set student.adapter=lora/adapter"),
        INPUT, "adapter_model.safetensors", tensor, "finite");
    expect_refused(retort(4, "run job.yaml --set ranks.teacher.tensor_parallel=3 --set teacher.model=student "
                             "--set teacher.adapter=lora/adapter"),
                   INPUT, "teacher.adapter", "adapter_model.safetensors", tensor, "finite");
    expect_refused(retort(0, "score --model student --adapter lora/adapter --data text.txt"), INPUT,
                   "adapter_model.safetensors", tensor, "finite");
}

static void broken_model_files(void **state)
{
    (void)state;
    static const unsigned char absurd[24] = {'G', 'G', 'U', 'F',  3, 0, 0, 0, 0, 0, 0, 0,
                                             0,   0,   0,   0x10, 0, 0, 0, 0, 0, 0, 0, 0x10};
    write_bytes("absurd.gguf", absurd, sizeof absurd);
    refused_everywhere(INPUT, "--set teacher.model=absurd.gguf", "absurd.gguf");
    refused_everywhere(INPUT, "--set teacher.model=nowhere", "teacher.model", "nowhere");
    flow_make_student("bad");
    flow_write("bad/tokenizer.json", "[\"this is JSON and no tokenizer\"]");
    refused_everywhere(INPUT, BAD_STUDENT, "bad/tokenizer.json");
    flow_write("bad/tokenizer.json", "{\"model\": {\"type\": \"BPE\", \"vocab\": {");
    refused_everywhere(INPUT, BAD_STUDENT, "bad/tokenizer.json");
    flow_make_student("bad");
    flow_write("bad/config.json", "{\"model_type\": \"mamba\"}");
    refused_everywhere(INPUT, BAD_TEACHER, "bad/config.json", "mamba");
}

/* --- data --- */

static void broken_data(void **state)
{
    (void)state;
    flow_write("empty.jsonl", "\n\n");
    refused_everywhere(INPUT, "--set 'data.train=[{path: empty.jsonl, format: completion}]'", "empty.jsonl",
                       "data.train");
    refused_everywhere(INPUT, "--set 'data.train=[{path: absent.jsonl, format: completion}]'", "absent.jsonl",
                       "data.train", "does not exist");
    flow_write("dumb.jsonl", "{\"prompt\": \"a question\", \"completion\": \"\"}\n");
    refused_everywhere(INPUT,
                       "--set data.append_eos=false --set 'data.validation=[{path: dumb.jsonl, format: completion}]'",
                       "dumb.jsonl", "supervised");
    flow_write("torn.jsonl", "{\"prompt\": \"1\", \"completion\": \"2\"}\n{\"prompt\": \"a que");
    refused_everywhere(INPUT, "--set 'data.train=[{path: torn.jsonl, format: completion}]'", "torn.jsonl:2");
}

/* --- the job and its launch --- */

static void broken_jobs(void **state)
{
    (void)state;
    flow_write("misspelt.yaml", "name: x\nmode: distill\ndistil: {temperature: 2.0}\n");
    expect_refused(retort(1, "run misspelt.yaml"), USAGE, "misspelt.yaml:3:1", "distil", "distill");
    expect_refused(retort(4, "run misspelt.yaml"), USAGE, "misspelt.yaml:3:1", "distil", "distill");
    refused_everywhere(USAGE, "--set train.stepz=3", "train.stepz", "steps");
    refused_everywhere(USAGE, "--set train.steps=many", "train.steps", "many");
    refused_everywhere(USAGE, "--set train.batch_tokens=100", "batch_tokens");
    refused_everywhere(USAGE, "--set student.method=qlora", "qlora"); /* known, and not built: refused, never ignored */
    expect_refused(retort(4, "run absent.yaml"), USAGE, "absent.yaml");
}

static void broken_launches(void **state)
{
    (void)state;
    expect_refused(retort(3, "run job.yaml --set ranks.teacher.tensor_parallel=2 --set ranks.student.replicas=2"),
                   USAGE, "4", "3");
    expect_refused(retort(1, "run job.yaml"), USAGE, "ranks.teacher", "2");
    expect_refused(retort(3, "run job.yaml --set labels.source=local --set ranks.student.tensor_parallel=2"), USAGE,
                   "ranks.student");
}

/* --- the environment --- */

static void unwritable_output(void **state)
{
    (void)state;
    flow_write("taken", "a file\n");
    refused_everywhere(ENVIRONMENT, "--set output=taken", "taken");
    refused_everywhere(ENVIRONMENT, "--set output=taken/run", "taken");
    refused_everywhere(ENVIRONMENT, "--set output=/proc/retort-run", "/proc/retort-run");
}

/* 64 KiB are enough for the job and the first lines, and not for a checkpoint. */
static void full_disk(void **state)
{
    (void)state;
    assert_int_equal(mkdir("small", 0777), 0);
    if (mount("none", "small", "tmpfs", 0, "size=64k")) {
        print_message("SKIPPED: a small file system cannot be mounted here (root can)\n");
        skip();
    }
    const struct outcome *alone =
        retort(1, "run job.yaml --set output=small/one --set labels.source=local --set train.checkpoint_every=2");
    int status = alone->status;
    const struct outcome *o = retort(4, "run job.yaml --set output=small/four --set train.checkpoint_every=2");
    umount("small");
    assert_int_equal(status, ENVIRONMENT);
    expect_refused(o, ENVIRONMENT, "small/four", "No space left");
}

/* Any rank may be lost: the others must not wait for it. Rank 0 is the teacher. */
static void lost_rank(void **state)
{
    (void)state;
    for (int rank = 0; rank < 4; rank += 3) {
        int pid = flow_start(4,
                             "run job.yaml --set output=run-%d --set train.steps=100000 "
                             "--set ranks.teacher.tensor_parallel=2",
                             rank);
        char output[16];
        snprintf(output, sizeof output, "run-%d", rank);
        flow_wait_for_step(output, 5);
        flow_kill(pid, rank);
        double killed = clock_seconds();
        const struct outcome *o = flow_wait(pid);
        assert_int_not_equal(o->status, 0);
        assert_true(clock_seconds() - killed < 10);
        char lost[16];
        snprintf(lost, sizeof lost, "rank %d", rank);
        if (!strstr(o->err, lost) && !strstr(o->out, lost))
            fail_msg("nothing says that %s was lost:\n%s%s", lost, o->out, o->err);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_weights),     cmocka_unit_test(spoilt_weight), cmocka_unit_test(spoilt_adapter),
        cmocka_unit_test(broken_model_files), cmocka_unit_test(broken_data),   cmocka_unit_test(broken_jobs),
        cmocka_unit_test(broken_launches),    cmocka_unit_test(full_disk),     cmocka_unit_test(unwritable_output),
        cmocka_unit_test(lost_rank),
    };
    return flow_main(argc, argv, "refusals", tests, sizeof tests / sizeof *tests);
}
