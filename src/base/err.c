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
    char old[sizeof e->text], prefix[sizeof e->text];
    memcpy(old, e->text, sizeof old);
    va_list ap;
    va_start(ap, format);
    vsnprintf(prefix, sizeof prefix, format, ap);
    va_end(ap);
    /* a text that no longer fits is cut at its end */
    int n = snprintf(e->text, sizeof e->text, "%s: ", prefix);
    if (n >= 0 && (size_t)n < sizeof e->text)
        snprintf(e->text + n, sizeof e->text - (size_t)n, "%s", old);
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
