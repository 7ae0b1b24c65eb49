/* retort COMMAND: finds the command, prints errors as one line, turns their code into the exit status. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/console.h"
#include "cli/program.h"
#include "par/failure.h"
#include "par/progress.h"
#include "par/sum.h"

const struct command commands[] = {
    {"run", "run a job, under mpirun or srun or alone", cmd_run},
    {"check", "print the resolved job, or what is wrong with it", cmd_check},
    {"keys", "the reference of every job key", cmd_keys},
    {"inspect", "what a model, adapter, checkpoint, run directory or label store is", cmd_inspect},
    {"tokenize", "text to token ids and back", cmd_tokenize},
    {"data", "the packed sequences of a step, supervised parts marked", cmd_data},
    {"score", "log-probabilities, perplexity and accuracy of a text", cmd_score},
    {"generate", "continue a prompt", cmd_generate},
    {"prune", "make a student of some of a teacher's layers", cmd_prune},
    {"export", "write a model, adapter merged, for other programs", cmd_export},
    {"store", "verify, list, compact or export a label store", cmd_store},
    {"bench", "this machine's figures beside its own ceiling", cmd_bench},
};
const int command_count = sizeof commands / sizeof *commands;

static struct {
    bool started;
    struct comm world;
} mpi;

/* Another rank has failed and has said so; this one leaves with its status. The line itself is that rank's. */
static void leave(const struct err *e)
{
    console_record(e->text);
    console_stop();
    failure_leave(e);
}

static void exhausted(size_t wanted)
{
    struct err e = {0};
    err_set(&e, ERR_ENVIRONMENT, "out of memory: %zu bytes could not be allocated", wanted);
    if (mpi.started)
        failure_raise(&e);
    console_error(e.text);
    _Exit(ERR_ENVIRONMENT);
}

const struct comm *program_world(void)
{
    bool multiple;
    comm_start(&mpi.world, &multiple);
    failure_start(&mpi.world, leave);
    progress_start(multiple && mpi.world.size > 1);
    mpi.started = true;
    return &mpi.world;
}

bool program_speaks(void)
{
    return !mpi.started || mpi.world.rank == 0;
}

bool program_options(const struct command_line *line, int argc, char **argv, int *rc, struct err *e)
{
    struct strbuf help;
    strbuf_init(&help);
    int parsed = options_parse(line, argc, argv, &help, e);
    if (parsed == 1)
        console_print(help.data, help.size);
    strbuf_release(&help);
    *rc = parsed < 0 ? -1 : 0;
    return parsed == 0;
}

static void print_commands(void)
{
    struct strbuf text;
    strbuf_init(&text);
    strbuf_adds(&text, "retort " RETORT_VERSION ": distils large language models on clusters that speak MPI\n\n"
                       "usage: retort COMMAND [options]; retort COMMAND --help\n\n");
    for (int i = 0; i < command_count; i++)
        strbuf_printf(&text, "  %-10s %s\n", commands[i].name, commands[i].about);
    console_print(text.data, text.size);
    strbuf_release(&text);
}

static const struct command *find_command(const char *name, struct err *e)
{
    const char *names[sizeof commands / sizeof *commands];
    for (int i = 0; i < command_count; i++) {
        names[i] = commands[i].name;
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    }
    const char *near = nearest_name(name, names, command_count);
    err_set(e, ERR_USAGE, "%s: unknown command%s%s%s; `retort --help` lists them", name, near ? ", did you mean " : "",
            near ? near : "", near ? "?" : "");
    return NULL;
}

/* All ranks have the same error here (agreed, or of the command line): one of them prints it. */
static int finish(const struct err *e)
{
    if (e->code != ERR_NONE && program_speaks())
        console_error(e->text);
    if (mpi.started) {
        sum_release();
        progress_stop();
        failure_stop();
        comm_finish(&mpi.world);
    }
    console_stop();
    return (int)e->code;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    console_start();
    mem_set_exhausted(exhausted);
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        print_commands();
        return argc < 2 ? ERR_USAGE : 0;
    }
    if (!strcmp(argv[1], "--version")) {
        console_print("retort " RETORT_VERSION "\n", sizeof "retort " RETORT_VERSION "\n" - 1);
        return 0;
    }
    const struct command *c = find_command(argv[1], &e);
    if (c && c->run(argc - 2, argv + 2, &e) && e.code == ERR_NONE)
        err_set(&e, ERR_BUG, "%s failed without saying why", c->name);
    return finish(&e);
}
