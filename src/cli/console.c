#include "cli/console.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/strbuf.h"

static struct {
    FILE *log;
    struct strbuf early; /* lines for the log from before it was opened */
    int terminal;        /* of console_is_terminal, asked once */
    int line_is_open;    /* a progress line stands on the terminal */
    double last_plain;
} console = {.last_plain = -1e9};

static const double plain_seconds = 5;
enum { EARLY_MOST = 1 << 16 }; /* bytes kept in a process that may never open a log */

/* mpirun and srun read our stderr through a pipe; what the user sees is theirs. */
static int launcher_has_terminal(void)
{
    char path[64], target[256];
    if (!getenv("OMPI_COMM_WORLD_SIZE") && !getenv("PMIX_RANK"))
        return 0;
    snprintf(path, sizeof path, "/proc/%ld/fd/2", (long)getppid());
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n <= 0)
        return 0;
    target[n] = 0;
    return !strncmp(target, "/dev/pts/", 9) || !strncmp(target, "/dev/tty", 8);
}

int console_is_terminal(void)
{
    return isatty(STDERR_FILENO) || launcher_has_terminal();
}

int console_output_is_terminal(void)
{
    return isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
}

static void close_line(void)
{
    if (console.line_is_open)
        fputs("\r\033[K", stderr);
    console.line_is_open = 0;
}

void console_record(const char *line)
{
    char stamp[32];
    time_t now = time(NULL);
    struct tm t;
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", localtime_r(&now, &t));
    if (console.log) {
        fprintf(console.log, "%s %s\n", stamp, line);
        fflush(console.log);
    } else if (console.early.size < EARLY_MOST) {
        strbuf_printf(&console.early, "%s %s\n", stamp, line);
    }
}

static void sink(void *context, enum log_level level, const char *line)
{
    (void)context;
    static const char *const marks[] = {"debug: ", "", "warning: ", "retort: "};
    char whole[4096];
    snprintf(whole, sizeof whole, "%s%s", marks[level], line);
    close_line();
    fprintf(stderr, "%s\n", whole);
    fflush(stderr);
    console_record(whole);
}

void console_start(void)
{
    strbuf_init(&console.early);
    const char *level = getenv("RETORT_LOG");
    if (level && !strcmp(level, "debug"))
        log_set_level(LOG_DEBUG);
    console.terminal = console_is_terminal();
    log_set_sink(sink, NULL);
}

void console_log_to(const char *path)
{
    console.log = fopen(path, "a");
    if (!console.log) {
        log_warning("%s: cannot be written; the log goes to stderr alone", path);
        return;
    }
    fwrite(console.early.data, 1, console.early.size, console.log);
    strbuf_clear(&console.early);
}

void console_stop(void)
{
    close_line();
    log_set_sink(NULL, NULL);
    if (console.log)
        fclose(console.log);
    console.log = NULL;
    strbuf_release(&console.early);
}

void console_progress(const char *text, int is_last)
{
    double now = clock_seconds();
    int due = is_last || now - console.last_plain >= plain_seconds;
    if (due) {
        console.last_plain = now;
        console_record(text);
    }
    if (console.terminal) {
        fprintf(stderr, "\r%s\033[K%s", text, is_last ? "\n" : "");
        console.line_is_open = !is_last;
    } else if (due) {
        fprintf(stderr, "%s\n", text);
    }
    fflush(stderr);
}

void console_print(const char *bytes, size_t size)
{
    fwrite(bytes, 1, size, stdout);
    fflush(stdout);
}

void console_error(const char *text)
{
    close_line();
    fprintf(stderr, "retort: %s\n", text);
    fflush(stderr);
    console_record(text);
}
