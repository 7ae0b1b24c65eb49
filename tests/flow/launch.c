/* Starting retort and hearing what it says. */
#include "flow.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/strbuf.h"

enum { PATIENCE_SECONDS = 60, LINE_ROOM = 4096 };

/* The run that was started last. */
static struct {
    double began;
    struct outcome outcome;
} last;

/* "RETORT" becomes the program. */
static void put_command(struct strbuf *line, const char *words)
{
    for (const char *at; (at = strstr(words, "RETORT")); words = at + 6) {
        strbuf_add(line, words, (size_t)(at - words));
        strbuf_adds(line, RETORT_PROGRAM);
    }
    strbuf_adds(line, words);
}

/* The shell becomes the last program of the line (exec), so that its process id is that of mpirun. */
static int start(const char *words)
{
    struct strbuf line;
    strbuf_init(&line);
    strbuf_adds(&line, "exec ");
    put_command(&line, words);
    strbuf_adds(&line, " >stdout.txt 2>stderr.txt </dev/null");
    fflush(NULL);
    int pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", line.data, (char *)NULL);
        _exit(127);
    }
    strbuf_release(&line);
    if (pid < 0)
        fail_msg("fork: %s", strerror(errno));
    last.began = clock_seconds();
    return pid;
}

/* True once it has ended. */
static bool wait_for(int pid, double seconds, int *status)
{
    for (double until = clock_seconds() + seconds; clock_seconds() < until; clock_sleep(5e-3))
        if (waitpid(pid, status, WNOHANG) == pid)
            return true;
    return false;
}

const struct outcome *flow_wait(int pid)
{
    struct outcome *o = &last.outcome;
    int status = 0;
    bool ended = wait_for(pid, PATIENCE_SECONDS, &status);
    o->seconds = clock_seconds() - last.began;
    if (!ended) {
        kill(pid, SIGTERM); /* mpirun passes it on to the ranks */
        if (!wait_for(pid, 5, &status)) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
        }
    }
    mem_free(o->out);
    mem_free(o->err);
    o->out = flow_read("stdout.txt", NULL);
    o->err = flow_read("stderr.txt", NULL);
    o->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (!ended)
        fail_msg("still running after %d s; it said:\n%s%s", PATIENCE_SECONDS, o->out, o->err);
    return o;
}

static int start_retort(int ranks, const char *format, va_list ap)
{
    char words[LINE_ROOM], line[2 * LINE_ROOM];
    vsnprintf(words, sizeof words, format, ap);
    if (ranks)
        snprintf(line, sizeof line, "%s -n %d RETORT %s", RETORT_MPIRUN, ranks, words);
    else
        snprintf(line, sizeof line, "RETORT %s", words);
    return start(line);
}

int flow_start(int ranks, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int pid = start_retort(ranks, format, ap);
    va_end(ap);
    return pid;
}

const struct outcome *retort(int ranks, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int pid = start_retort(ranks, format, ap);
    va_end(ap);
    return flow_wait(pid);
}

const struct outcome *flow_mpirun(const char *format, ...)
{
    char words[LINE_ROOM], line[2 * LINE_ROOM];
    va_list ap;
    va_start(ap, format);
    vsnprintf(words, sizeof words, format, ap);
    va_end(ap);
    snprintf(line, sizeof line, "%s %s", RETORT_MPIRUN, words);
    return flow_wait(start(line));
}

void train(const char *output, int ranks, const char *format, ...)
{
    char words[LINE_ROOM];
    va_list ap;
    va_start(ap, format);
    vsnprintf(words, sizeof words, format, ap);
    va_end(ap);
    expect_outcome(retort(ranks, "run job.yaml --set output=%s %s", output, words), 0, NULL);
}

/* --- killing --- */

void flow_wait_for_step(const char *output, int step)
{
    char *path = mem_printf("%s/metrics.jsonl", output), *wanted = mem_printf("{\"step\": %d, \"loss\"", step);
    bool seen = false;
    for (double until = clock_seconds() + PATIENCE_SECONDS; !seen && clock_seconds() < until; clock_sleep(2e-3)) {
        char *text = file_exists(path) ? flow_read(path, NULL) : mem_strdup("");
        seen = strstr(text, wanted) != NULL;
        mem_free(text);
    }
    if (!seen)
        fail_msg("%s has no step %d after %d s", path, step, PATIENCE_SECONDS);
    mem_free(wanted);
    mem_free(path);
}

/* mpirun's children, in the order in which it has started them, are the ranks. */
void flow_kill(int pid, int rank)
{
    char path[64], text[LINE_ROOM] = "", *rest = text;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    FILE *f = fopen(path, "r");
    if (!f || !fgets(text, sizeof text, f))
        fail_msg("%s: cannot be read, or mpirun has no ranks", path);
    fclose(f);
    int i = 0, killed = 0;
    for (char *word; (word = strsep(&rest, " \n")) && *word; i++)
        if (rank < 0 || rank == i)
            killed += kill(atoi(word), SIGKILL) == 0;
    assert_true(killed > 0);
}

/* --- what must have been said --- */

static void fail_with(const struct outcome *o, const char *what)
{
    fail_msg("%s\nstatus %d; stdout:\n%s\nstderr:\n%s", what, o->status, o->out, o->err);
}

void expect_outcome(const struct outcome *o, int status, const char *text)
{
    char what[LINE_ROOM];
    snprintf(what, sizeof what, "expected status %d%s%s", status, text ? " and on stderr: " : "", text ? text : "");
    if (o->status != status || (text && !strstr(o->err, text)))
        fail_with(o, what);
}

/* The lines of retort's own; what mpirun adds when a rank fails is not ours. */
static int count_errors(const char *err, const char **first)
{
    int n = 0;
    for (const char *line = err; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!strncmp(line, "retort: ", 8) && !n++)
            *first = line;
    }
    return n;
}

void expect_refusal(const struct outcome *o, int status, const char *const *texts)
{
    const char *line = "";
    char what[LINE_ROOM];
    expect_outcome(o, status, NULL);
    if (count_errors(o->err, &line) != 1)
        fail_with(o, "expected one line of retort's on stderr");
    size_t length = strcspn(line, "\n");
    for (; *texts; texts++) {
        snprintf(what, sizeof what, "expected in the line: %s", *texts);
        if (!memmem(line, length, *texts, strlen(*texts)))
            fail_with(o, what);
    }
}

json_t *expect_json(const struct outcome *o)
{
    json_error_t error;
    expect_outcome(o, 0, NULL);
    json_t *document = json_loads(o->out, 0, &error);
    if (!document)
        fail_with(o, error.text);
    return document;
}

void expect_field_names(json_t *object, const char *const *names)
{
    size_t n = 0;
    for (; names[n]; n++)
        if (!json_object_get(object, names[n]))
            fail_msg("the document lacks %s", names[n]);
    assert_int_equal(json_object_size(object), n);
}
