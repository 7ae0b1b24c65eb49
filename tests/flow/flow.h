/* The whole program as a user starts it: `retort` under mpirun, in a directory of its own, with small random models and
 * a little data. What it says and writes is then compared between runs.
 *
 * Everything here fails the running test by itself, with what the program has said, so that a test reads as a list of
 * runs and of what must hold between them. */
#ifndef RETORT_TESTS_FLOW_H
#define RETORT_TESTS_FLOW_H

#include <stdbool.h>

#include <jansson.h>

#include "model_maker.h"
#include "test.h"

/* --- the work directory --- */

/* main of a flow program. argv[1] is the pattern of the tests to run (all without it). They run in
 * ./<program>.<pattern>, which holds teacher/, student/, data.jsonl, text.txt and job.yaml (flow_make_all) and is
 * removed if all went well. */
int flow_main(int argc, char **argv, const char *name, const struct CMUnitTest *tests, size_t count);

/* printf to a file. */
void flow_write(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* 9 query heads and 3 key/value heads, which divide by no even number of ranks. */
void flow_config(struct model_config *c, const char *family, int layers);
/* A random model. */
void flow_make_model(const char *directory, const struct model_config *c, uint64_t seed);
/* The two of every job here: the same family, 2 layers and 1; as teacher/ and student/ they are there from the
 * beginning. */
void flow_make_teacher(const char *directory);
void flow_make_student(const char *directory);

/* A file's bytes, ended by a zero that size does not count (size may be NULL). mem_free it. */
char *flow_read(const char *path, size_t *size);

/* --- runs --- */

struct outcome {
    int status; /* exit status of retort, or of mpirun, which passes it on; -1: still running when its time was over */
    double seconds;
    char *out, *err; /* what was said on stdout and stderr */
};

/* Runs `retort WORDS` on so many ranks (0: without mpirun). The shell splits the words. The outcome is valid until the
 * next call. A run that does not end within a minute fails the test: nothing here takes that long, so it hangs. */
const struct outcome *retort(int ranks, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same where the words follow mpirun itself: for MPMD launches, in which "RETORT" stands for the program. */
const struct outcome *flow_mpirun(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* It ended with this status, and (text not NULL) said this on stderr. */
void expect_outcome(const struct outcome *o, int status, const char *text);

/* Refused: the status, exactly one line "retort: ..." on stderr, which holds each of the texts (NULL-terminated list).
 */
void expect_refusal(const struct outcome *o, int status, const char *const *texts);
#define expect_refused(o, status, ...) expect_refusal(o, status, (const char *const[]){__VA_ARGS__, NULL})

/* `retort run job.yaml --set output=<output> <format...>` on so many ranks, which must end well. */
void train(const char *output, int ranks, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* In the background: the process id of mpirun, for tests that kill. flow_wait gives its outcome. */
int flow_start(int ranks, const char *format, ...) __attribute__((format(printf, 2, 3)));
const struct outcome *flow_wait(int pid);

/* Waits until that run's metrics have a line of this step. */
void flow_wait_for_step(const char *output, int step);

/* SIGKILL to one of the ranks that mpirun has started here, or (rank -1) to all. */
void flow_kill(int pid, int rank);

/* --- results --- */

/* The document that retort printed, and nothing else; json_decref it. */
json_t *expect_json(const struct outcome *o);

/* The object has these fields and no others (a NULL-terminated list). */
void expect_field_names(json_t *object, const char *const *names);
#define expect_fields(object, ...) expect_field_names(object, (const char *const[]){__VA_ARGS__, NULL})

/* All lines of a run's metrics.jsonl as an array; fields that depend on time (ending in seconds or per_second) are left
 * out. */
json_t *flow_metrics(const char *output);

/* A number of a step: "kl" of its training, "validation.kl" of the validation after it. */
double flow_value(const char *output, int step, const char *field);

/* Every line and field is the same to the last bit. */
void expect_same_metrics(const char *a, const char *b);
bool flow_same_metrics(const char *a, const char *b);

/* The curves of loss, kl and ce, in training and validation: max |a - b| <= tolerance * max |b| (SEMANTICS, Sums). */
void expect_close_metrics(const char *a, const char *b, double tolerance);

void expect_same_file(const char *a, const char *b);

/* Two models that were trained from the same start (a .safetensors each): norm of the difference of their moves / norm
 * of b's move. */
double flow_move_difference(const char *a, const char *b, const char *start);

#endif
