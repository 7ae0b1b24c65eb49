/* The program around the commands: MPI where a command wants it, failures, the exit status. */
#ifndef RETORT_CLI_PROGRAM_H
#define RETORT_CLI_PROGRAM_H

#include "cli/options.h"
#include "par/comm.h"

/* A command parses its own arguments and returns 0 or -1 with e. */
struct command {
    const char *name;
    const char *about; /* one line of `retort --help` */
    int (*run)(int argc, char **argv, struct err *e);
};
extern const struct command commands[];
extern const int command_count;

/* Options first. True: go on. False: leave with *rc (help was printed, or e is set). */
bool program_options(const struct command_line *line, int argc, char **argv, int *rc, struct err *e);

/* MPI, the communication thread, the watch for failures. Once; main ends it. */
const struct comm *program_world(void);

/* Whether this process speaks for all: rank 0, or a command without MPI. */
bool program_speaks(void);

int cmd_run(int argc, char **argv, struct err *e);
int cmd_check(int argc, char **argv, struct err *e);
int cmd_keys(int argc, char **argv, struct err *e);
int cmd_inspect(int argc, char **argv, struct err *e);
int cmd_tokenize(int argc, char **argv, struct err *e);
int cmd_data(int argc, char **argv, struct err *e);
int cmd_score(int argc, char **argv, struct err *e);
int cmd_generate(int argc, char **argv, struct err *e);
int cmd_prune(int argc, char **argv, struct err *e);
int cmd_export(int argc, char **argv, struct err *e);
int cmd_store(int argc, char **argv, struct err *e);
int cmd_bench(int argc, char **argv, struct err *e);

#endif
