/* GGUF v2 and v3, the container of llama.cpp: typed metadata and tensors, quantised ones included.
 *
 * Mapped, checked at open (counts, lengths, offsets, alignment, types), refused with file and key or tensor. Dimensions
 * are given here row-major, slowest first, like everywhere in retort; the file lists them fastest first. */
#ifndef RETORT_FMT_GGUF_H
#define RETORT_FMT_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "fmt/safetensors.h"

struct gguf;

int gguf_open(struct gguf **out, const char *path, struct err *e);
int gguf_parse(struct gguf **out, const void *bytes, size_t size, const char *name, struct err *e);
void gguf_close(struct gguf *g);

int gguf_tensor_count(const struct gguf *g);
const struct tensor *gguf_tensor_at(const struct gguf *g, int i);
const struct tensor *gguf_tensor_find(const struct gguf *g, const char *name);

/* Metadata. Each returns false if the key is absent or has another kind of type; outputs then stay untouched. */
bool gguf_has(const struct gguf *g, const char *key);
bool gguf_get_u64(const struct gguf *g, const char *key, uint64_t *value); /* any integer type that is not negative */
bool gguf_get_f64(const struct gguf *g, const char *key, double *value);   /* f32 or f64 */
bool gguf_get_bool(const struct gguf *g, const char *key, bool *value);
/* Not terminated; borrowed from the map. */
bool gguf_get_string(const struct gguf *g, const char *key, const char **text, size_t *size);
/* Arrays of strings: *count of them, then each by index. Arrays of numbers: as i64 or f64. */
bool gguf_get_array(const struct gguf *g, const char *key, uint64_t *count);
bool gguf_array_string(const struct gguf *g, const char *key, uint64_t i, const char **text, size_t *size);
bool gguf_array_i64(const struct gguf *g, const char *key, uint64_t i, int64_t *value);
bool gguf_array_f64(const struct gguf *g, const char *key, uint64_t i, double *value);

/* Walks all metadata keys in file order (inspect). kind is a short name of the type ("u32", "string", "array of
 * string"). */
int gguf_key_count(const struct gguf *g);
const char *gguf_key_at(const struct gguf *g, int i, const char **kind);

#endif
