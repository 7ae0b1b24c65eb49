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

void err_prefix(struct err *e, const char *format, ...)
{
    if (e->code == ERR_NONE)
        return;
    char old[sizeof e->text];
    memcpy(old, e->text, sizeof old);
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(e->text, sizeof e->text, format, ap);
    va_end(ap);
    size_t room = sizeof e->text, used = n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
    /* a text that no longer fits is cut at its end */
    snprintf(e->text + used, room - used, ": %.*s", (int)(sizeof old - 1), old);
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
