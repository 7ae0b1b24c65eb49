/* Work directory, models, data and job of the flow tests; the main of each program. */
#include "flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/strbuf.h"

void flow_write(const char *path, const char *format, ...)
{
    struct err e = {0};
    struct strbuf text;
    strbuf_init(&text);
    va_list ap;
    va_start(ap, format);
    strbuf_vprintf(&text, format, ap);
    va_end(ap);
    assert_done(file_write(path, text.data, text.size, &e), &e);
    strbuf_release(&text);
}

char *flow_read(const char *path, size_t *size)
{
    struct err e = {0};
    struct file_map map;
    assert_done(file_map_open(&map, path, &e), &e);
    char *bytes = mem_alloc(map.size + 1);
    memcpy(bytes, map.data, map.size);
    if (size)
        *size = map.size;
    file_map_close(&map);
    return bytes;
}

void flow_config(struct model_config *c, const char *family, int layers)
{
    model_maker_config(c, family);
    c->layers = layers;
    c->heads = 9;
    c->kv_heads = 3;
    c->head_dim = 8;
    c->hidden_size = 72;
}

void flow_make_model(const char *directory, const struct model_config *c, uint64_t seed)
{
    struct err e = {0};
    assert_done(model_maker_write(directory, c, seed, DTYPE_F32, &e), &e);
}

void flow_make_teacher(const char *directory)
{
    struct model_config c;
    flow_config(&c, "llama", 2);
    flow_make_model(directory, &c, 1);
}

void flow_make_student(const char *directory)
{
    struct model_config c;
    flow_config(&c, "llama", 1);
    flow_make_model(directory, &c, 2);
}

/* Documents of different lengths, so that packed sequences hold several and none ends at a round number. */
static void make_data(void)
{
    struct strbuf lines;
    strbuf_init(&lines);
    for (int i = 1; i <= 60; i++)
        strbuf_printf(&lines, "{\"prompt\": \"%d plus %d is \", \"completion\": \"%d%.*s.\"}\n", i, i * 7, i * 8,
                      i % 5 * 6, ", which is more than it was");
    flow_write("data.jsonl", "%s", lines.data);
    strbuf_clear(&lines);
    for (int i = 1; i <= 12; i++)
        strbuf_printf(&lines, "The %d. line is neither the first nor the last of its text.\n", i);
    flow_write("text.txt", "%s", lines.data);
    strbuf_release(&lines);
}

static const char job_text[] = "name: flow\n"
                               "mode: distill\n"
                               "seed: 3\n"
                               "output: run\n"
                               "ranks:\n"
                               "  teacher: {replicas: 1, tensor_parallel: 1}\n"
                               "  student: {replicas: auto, tensor_parallel: 1}\n"
                               "  threads: 1\n"
                               "teacher: {model: teacher, precision: f32}\n"
                               "student: {model: student, precision: f32, method: full}\n"
                               "data:\n"
                               "  train: [{path: data.jsonl, format: completion}]\n"
                               "  validation: [{path: text.txt, format: text}]\n"
                               "  sequence_length: 64\n"
                               "labels: {source: stream, encoding: {kind: sampled}, window: 2}\n"
                               "distill: {temperature: 1.5, alpha: 0.7}\n"
                               "train:\n"
                               "  steps: 10\n"
                               "  batch_tokens: 512\n"
                               "  optimizer: {name: adamw, learning_rate: 1.0e-3, weight_decay: 0.01}\n"
                               "  schedule: {name: constant, warmup_steps: 2}\n"
                               "  clip_norm: 1.0\n"
                               "  evaluate_every: 5\n"
                               "  checkpoint_every: 0\n";

static int enter(void **state)
{
    struct err e = {0};
    const char *directory = *state;
    setenv("RETORT_CACHE", "cache", 1);
    assert_done(file_remove_tree(directory, &e), &e);
    assert_done(file_make_directories(directory, &e), &e);
    assert_int_equal(chdir(directory), 0);
    flow_make_teacher("teacher");
    flow_make_student("student");
    make_data();
    flow_write("job.yaml", "%s", job_text);
    return 0;
}

int flow_main(int argc, char **argv, const char *name, const struct CMUnitTest *tests, size_t count)
{
    struct err e = {0};
    char *directory = mem_printf("%s.%s.work", file_name(argv[0]), argc > 1 ? argv[1] : "all");
    for (char *c = directory; *c; c++)
        *c = *c == '*' ? '_' : *c;
    char *place = file_absolute(directory);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    struct CMUnitTest *mine = mem_array(count, sizeof *mine);
    memcpy(mine, tests, count * sizeof *mine);
    for (size_t i = 0; i < count; i++) {
        mine[i].setup_func = enter;
        mine[i].initial_state = place;
    }
    int failed = _cmocka_run_group_tests(name, mine, count, NULL, NULL);
    if (!failed && (chdir("/") || file_remove_tree(place, &e)))
        fprintf(stderr, "%s: %s\n", place, e.text);
    mem_free(mine);
    mem_free(place);
    mem_free(directory);
    return failed;
}
