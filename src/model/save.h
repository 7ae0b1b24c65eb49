/* What others can use: a Hugging Face directory (weights and config; the tokenizer's files are the caller's), a PEFT
 * adapter directory, a merged model. */
#ifndef RETORT_MODEL_SAVE_H
#define RETORT_MODEL_SAVE_H

#include "base/err.h"
#include "model/model.h"

/* Collective over the model's shards. directory/model.safetensors and config.json in dtype F32, BF16 or F16. merge:
 * adapters are added to their weights (in f32, then rounded once). The directory must exist. */
int model_save(const struct model *m, const char *directory, enum dtype dtype, bool merge, struct err *e);

/* Collective over the model's shards. directory/adapter_model.safetensors (F32) and adapter_config.json. base: the path
 * of the base model as it should stand in the config. */
int model_save_adapter(const struct model *m, const char *directory, const char *base, struct err *e);

#endif
