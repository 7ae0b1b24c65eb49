/* Is it the same model, or the same adapter? A hash that is cheap for 140 GB: it looks at names, sizes and samples of
 * the weight files, so it tells models apart that differ anywhere much, and not two that differ in a few values only.
 * Where the files lie does not count. */
#ifndef RETORT_FMT_FINGERPRINT_H
#define RETORT_FMT_FINGERPRINT_H

#include <stdint.h>

#include "base/err.h"

/* path: a .gguf file, or a directory with config.json or adapter_config.json and .safetensors files. Over every byte of
 * the config and, for each weight file in the order of names, its name, size, first 64 KiB and 16 evenly spaced 4 KiB.
 * Never 0. ERR_INPUT if there is no weight file. */
int fingerprint(const char *path, uint64_t *out, struct err *e);

#endif
