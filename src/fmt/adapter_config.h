/* adapter_config.json as text: what model_files.h's adapter_config_read does once it has the bytes (and what fuzzing
 * needs). */
#ifndef RETORT_FMT_ADAPTER_CONFIG_H
#define RETORT_FMT_ADAPTER_CONFIG_H

#include <stddef.h>

#include "base/err.h"
#include "fmt/model_files.h"

int adapter_config_parse(struct adapter_config *c, const char *text, size_t size, const char *path, struct err *e);

#endif
