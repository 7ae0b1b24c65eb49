/* inspect: what a path is, and what is in it. */
#ifndef RETORT_JOB_INSPECT_H
#define RETORT_JOB_INSPECT_H

#include <stdbool.h>

#include "base/err.h"
#include "base/strbuf.h"

/* Local. A model (Hugging Face directory, .gguf), an adapter, a checkpoint, a run directory, a .safetensors file, a
 * label record: lines for a person, or one JSON document. ERR_INPUT if it is none of these, or damaged. */
int inspect_path(const char *path, bool json, struct strbuf *out, struct err *e);

#endif
