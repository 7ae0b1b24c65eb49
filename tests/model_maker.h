/* Small random models for tests: a Hugging Face directory with config.json, model.safetensors, tokenizer.json and
 * tokenizer_config.json, made from a seed, the same on every machine.
 *
 * Names and shapes are spelled out here once more, and not taken from src/model: a test may trust neither to check the
 * other. */
#ifndef RETORT_TESTS_MODEL_MAKER_H
#define RETORT_TESTS_MODEL_MAKER_H

#include <stdint.h>

#include "base/dtype.h"
#include "base/err.h"
#include "fmt/config.h"

/* The tokenizer: ids 0..2 are <|endoftext|> (the end of a document), <|im_start|>, <|im_end|>; 3..258 the bytes in
 * GPT-2's alphabet; then merges of common English pairs as far as the vocabulary has room. Ids above have no token. It
 * adds no BOS. */
enum { MODEL_MAKER_VOCAB_MIN = 259 };

/* A small config: 2 layers, hidden 64, 4 heads, 2 kv heads of 16, mlp 96, vocabulary 320, not tied. family: "llama",
 * "mistral", "qwen2" or "qwen3" (ASSERTs otherwise). Change fields as the test needs them. */
void model_maker_config(struct model_config *c, const char *family);

/* Writes the model into directory, which is made if it is not there. Matrices are normal with variance 1 / columns,
 * gains around 1, biases around 0. dtype F32, F16 or BF16. */
int model_maker_write(const char *directory, const struct model_config *c, uint64_t seed, enum dtype dtype,
                      struct err *e);

/* Overwrites one value in the middle of a tensor of such a model by NaN. */
int model_maker_spoil(const char *directory, const char *tensor, struct err *e);
/* The same in any .safetensors file. */
int model_maker_spoil_file(const char *path, const char *tensor, struct err *e);

#endif
