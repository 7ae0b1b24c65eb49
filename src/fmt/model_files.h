/* A model on disk, whatever its container: a Hugging Face directory (config.json, one or many safetensors with index,
 * tokenizer.json) or a GGUF file. Gives the config and tensors by either of their names; knows nothing of shards. */
#ifndef RETORT_FMT_MODEL_FILES_H
#define RETORT_FMT_MODEL_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "fmt/config.h"
#include "fmt/safetensors.h"

struct gguf;
struct model_files;

/* Opens and maps everything. A directory: model.safetensors, or model.safetensors.index.json and every shard that it
 * names (a file missing or a tensor absent from its shard is an error). */
int model_files_open(struct model_files **out, const char *path, struct err *e);
void model_files_close(struct model_files *m);

/* Opens config and metadata only: enough for check, tokenize, and plans (a directory need not have weights; a .json
 * file is a config by itself). */
int model_files_open_config(struct model_files **out, const char *path, struct err *e);

const char *model_files_path(const struct model_files *m);
const struct model_config *model_files_config(const struct model_files *m);
bool model_files_is_gguf(const struct model_files *m);
const struct gguf *model_files_gguf(const struct model_files *m); /* NULL for a directory */

/* By its name in this container. NULL if absent. */
const struct tensor *model_files_find(const struct model_files *m, const char *name);
int model_files_count(const struct model_files *m);
const struct tensor *model_files_at(const struct model_files *m, int i);
/* The file that holds the tensor: for errors. */
const char *model_files_of(const struct model_files *m, const struct tensor *t);

/* The shape that a caller expects, or an error that names file, tensor, both shapes. */
int model_files_require(const struct model_files *m, const char *name, int rank, const int64_t *shape,
                        const struct tensor **out, struct err *e);

/* A PEFT adapter directory's adapter_config.json. targets are borrowed until adapter_config_release. */
struct adapter_config {
    int rank;
    double alpha, dropout;
    bool rslora;
    char *
        *targets; /* "q_proj", ... (PEFT also allows a suffix pattern: refused by name unless a list or "all-linear") */
    int target_count;
};
int adapter_config_read(struct adapter_config *c, const char *directory, struct err *e);
void adapter_config_release(struct adapter_config *c);
/* An adapter_config.json that peft loads; base may be NULL. */
void adapter_config_to_json(const struct adapter_config *c, const char *base, struct strbuf *out);

#endif
