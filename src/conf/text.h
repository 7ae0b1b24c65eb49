/* Text on its way into YAML and paths on their way into the job. */
#ifndef RETORT_CONF_TEXT_H
#define RETORT_CONF_TEXT_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/strbuf.h"

/* Appends text as a YAML scalar on one line: plain where it reads back as the same text, else in double quotes. text is
 * UTF-8. */
void yaml_put_text(struct strbuf *out, const char *text);

/* The shortest decimal that reads back as the same double. value is finite. */
void yaml_put_number(struct strbuf *out, double value);

/* directory/path as an absolute path without empty and "." parts. ".." stays: what it means depends on symbolic links.
 */
char *path_resolve(struct arena *arena, const char *directory, const char *path);

#endif
