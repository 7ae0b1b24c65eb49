/* inspect: what a path is, and what is in it. */
#ifndef RETORT_JOB_INSPECT_H
#define RETORT_JOB_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"

/* Local. A model (Hugging Face directory, .gguf), an adapter, a checkpoint, a run directory, a .safetensors file, a
 * label store, one of its files, a label record: lines for a person, or one JSON document. ERR_INPUT if it is none of
 * these, or damaged. seq_id not NULL: of a label store or its file, the record of this sequence, decoded. */
int inspect_path(const char *path, bool json, const uint64_t *seq_id, struct strbuf *out, struct err *e);

#endif
