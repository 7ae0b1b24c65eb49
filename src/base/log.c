#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>

#include "base/strbuf.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static log_sink *sink;
static void *sink_context;
static enum log_level lowest = LOG_INFO;

void log_set_sink(log_sink *new_sink, void *context)
{
    pthread_mutex_lock(&lock);
    sink = new_sink;
    sink_context = context;
    pthread_mutex_unlock(&lock);
}

void log_set_level(enum log_level level)
{
    lowest = level;
}

void log_line(enum log_level level, const char *format, ...)
{
    if (level < lowest)
        return;
    struct strbuf line;
    strbuf_init(&line);
    va_list ap;
    va_start(ap, format);
    strbuf_vprintf(&line, format, ap);
    va_end(ap);
    pthread_mutex_lock(&lock);
    if (sink)
        sink(sink_context, level, line.data);
    pthread_mutex_unlock(&lock);
    strbuf_release(&line);
}
