/* retort bench: this machine's figures beside its own ceiling. */
#include <string.h>

#include "cli/console.h"
#include "cli/model_options.h"
#include "cli/program.h"
#include "job/bench.h"

static const char *const subjects[] = {"gemm", "teacher", "student", "head", "stream", "store", NULL};

static int find_subject(const char *name, enum bench_what *what, struct err *e)
{
    int count = sizeof subjects / sizeof *subjects - 1;
    for (int i = 0; i < count; i++)
        if (!strcmp(name, subjects[i])) {
            *what = (enum bench_what)i;
            return 0;
        }
    const char *near = nearest_name(name, subjects, count);
    return err_set(e, ERR_USAGE, "bench %s: expected gemm, teacher, student, head, stream or store%s%s%s", name,
                   near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static int check_options(const struct bench_options *o, struct err *e)
{
    if (o->what == BENCH_STREAM || o->what == BENCH_STORE)
        return 0;
    if (!o->model == !o->config)
        return err_set(e, ERR_USAGE, "bench %s needs either --model or --config", subjects[o->what]);
    return 0;
}

int cmd_bench(int argc, char **argv, struct err *e)
{
    static const char *const methods[] = {"full", "lora", NULL};
    struct bench_options o = {0};
    const char *subject = NULL;
    int method = 0, precision = 0, rc;
    int64_t layers = 0, length = 0, sequences = 2, threads = 0, shards = 0, repeat = 5, memory = 0;
    const struct option options[] = {
        {"--model", OPTION_TEXT, &o.model, "PATH", "Hugging Face directory or .gguf file", NULL, false},
        {"--config", OPTION_TEXT, &o.config, "FILE", "a config.json alone: the weights are drawn", NULL, false},
        {"--layers", OPTION_INTEGER, &layers, "N", "only the first N layers (all)", NULL, false},
        {"--method", OPTION_CHOICE, &method, "METHOD",
         "what a student trains: every weight, or rank 16 on q_proj and v_proj (full)", methods, false},
        {"--precision", OPTION_CHOICE, &precision, "P", "what GEMM operands are rounded to (f32)", precision_names,
         false},
        {"--sequence-length", OPTION_INTEGER, &length, "N", "tokens of a sequence (1024; store: 4096)", NULL, false},
        {"--sequences", OPTION_INTEGER, &sequences, "N", "sequences of a pass or step on each replica (2)", NULL,
         false},
        {"--tensor-parallel", OPTION_INTEGER, &shards, "N", "ranks of a replica (teacher: all, others: 1)", NULL,
         false},
        {"--threads", OPTION_INTEGER, &threads, "N", "threads of each rank (the cores that it has)", NULL, false},
        {"--repeat", OPTION_INTEGER, &repeat, "N", "timed passes, of which the median counts (5)", NULL, false},
        {"--memory-limit", OPTION_INTEGER, &memory, "MIB",
         "of a student's rank: activations that do not fit are computed twice (none)", NULL, false},
        {"--directory", OPTION_TEXT, &o.directory, "DIR", "where bench store writes, on the disk that is meant (.)",
         NULL, false},
        {"--json", OPTION_FLAG, &o.json, NULL, "one JSON document", NULL, false},
        {0},
    };
    static const char *const positional[] = {"gemm|teacher|student|head|stream|store"};
    const struct command_line line = {
        .command = "bench",
        .usage = "gemm|teacher|student|head|stream|store [--model M | --config FILE] [options]",
        .about = "What this machine reaches, beside what the libraries' own GEMM reaches at the same shapes in the "
                 "same run, and where the time goes. Under mpirun too.",
        .options = options,
        .positional = &subject,
        .positional_names = positional,
        .positional_least = 1,
        .positional_most = 1,
    };
    if (!program_options(&line, argc, argv, &rc, e))
        return rc;
    if (find_subject(subject, &o.what, e) || check_options(&o, e))
        return -1;
    if (!length)
        length = o.what == BENCH_STORE ? 4096 : 1024;
    const struct {
        const char *name;
        int64_t value, least, most;
    } numbers[] = {{"--layers", layers, 0, 10000},        {"--sequence-length", length, 2, 1 << 20},
                   {"--sequences", sequences, 1, 10000},  {"--tensor-parallel", shards, 0, 10000},
                   {"--threads", threads, 0, 10000},      {"--repeat", repeat, 1, 1000},
                   {"--memory-limit", memory, 0, 1 << 30}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].value < numbers[i].least || numbers[i].value > numbers[i].most)
            return err_set(e, ERR_USAGE, "%s %lld: expected %lld to %lld", numbers[i].name, (long long)numbers[i].value,
                           (long long)numbers[i].least, (long long)numbers[i].most);
    o.layers = (int)layers;
    o.lora = method == 1;
    o.precision = model_precision(precision);
    o.sequence_length = (int)length;
    o.sequences = (int)sequences;
    o.tensor_parallel = (int)shards;
    o.threads = (int)threads;
    o.repeat = (int)repeat;
    o.memory_limit = memory << 20;
    struct strbuf out;
    strbuf_init(&out);
    rc = bench_run(program_world(), &o, &out, e);
    if (!rc)
        console_print(out.data, out.size);
    strbuf_release(&out);
    return rc;
}
