/* A directory that a command makes: it must be new or empty, so that nothing is overwritten by accident. */
#ifndef RETORT_JOB_OUTPUT_DIRECTORY_H
#define RETORT_JOB_OUTPUT_DIRECTORY_H

#include <stdbool.h>

#include "base/err.h"

bool directory_is_empty(const char *path); /* true also if it is not there */

/* Local. Makes it; ERR_ENVIRONMENT if it is not empty or cannot be made. key names the option in the text. */
int output_directory_make(const char *path, const char *key, struct err *e);

#endif
