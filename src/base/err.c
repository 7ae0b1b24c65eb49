#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, enum err_code code, const char *format, ...)
{
    if (e->code != ERR_NONE)
        return -1;
    va_list ap;
    va_start(ap, format);
    vsnprintf(e->text, sizeof e->text, format, ap);
    va_end(ap);
    e->code = code;
    return -1;
}

static void append(struct err *e, const char *text)
{
    size_t used = strlen(e->text), n = strlen(text), room = sizeof e->text - 1 - used;
    memcpy(e->text + used, text, n < room ? n : room);
    e->text[used + (n < room ? n : room)] = 0;
}

void err_prefix(struct err *e, const char *format, ...)
{
    if (e->code == ERR_NONE)
        return;
    char old[sizeof e->text];
    memcpy(old, e->text, sizeof old);
    va_list ap;
    va_start(ap, format);
    vsnprintf(e->text, sizeof e->text, format, ap);
    va_end(ap);
    /* a text that no longer fits is cut at its end */
    append(e, ": ");
    append(e, old);
}

int err_errno(struct err *e, const char *format, ...)
{
    int saved = errno;
    char what[sizeof e->text];
    va_list ap;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    return err_set(e, ERR_ENVIRONMENT, "%.800s: %s", what, strerror(saved));
}

void err_clear(struct err *e)
{
    e->code = ERR_NONE;
    e->text[0] = 0;
}
