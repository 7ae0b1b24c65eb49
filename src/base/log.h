/* The log: lines for the user, to stderr and (root of a run) to the run directory's log.txt. The program sets the sink;
 * a library function only says what happened. Without a sink lines are dropped: tests and readers stay quiet. */
#ifndef RETORT_BASE_LOG_H
#define RETORT_BASE_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

/* line has no newline at its end. Called from any thread of the process, one at a time. */
typedef void log_sink(void *context, enum log_level level, const char *line);

void log_set_sink(log_sink *sink, void *context);
void log_set_level(enum log_level lowest);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

#endif
