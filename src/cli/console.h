/* What the user sees: log lines and the progress line on stderr, results on stdout. Only src/cli prints. */
#ifndef RETORT_CLI_CONSOLE_H
#define RETORT_CLI_CONSOLE_H

#include <stddef.h>

/* Log lines go to stderr from now on; with RETORT_LOG=debug in the environment the finest, too. */
void console_start(void);

/* And, with the time before each, to this file (appended); failing to open it is a warning. */
void console_log_to(const char *path);
void console_stop(void);

/* On a terminal: replaces the progress line. In a batch log: a plain line, at most one every few seconds and the last
 * one. */
void console_progress(const char *text, int is_last);

/* Results. */
void console_print(const char *bytes, size_t size);

/* One line on stderr: "retort: text". */
void console_error(const char *text);

/* A line in the log file alone. */
void console_record(const char *text);

/* Whether the user watches a terminal: stderr is one, or that of the launcher that forwards it is. */
int console_is_terminal(void);
int console_output_is_terminal(void); /* stdout itself */

#endif
