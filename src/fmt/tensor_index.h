/* Tensors by name: what every container of tensors needs, once. */
#ifndef RETORT_FMT_TENSOR_INDEX_H
#define RETORT_FMT_TENSOR_INDEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "fmt/safetensors.h"

struct tensor_index {
    const struct tensor **by_name; /* in the arena; the tensors are borrowed */
    int count, room;
};

void tensor_index_init(struct tensor_index *x, struct arena *a, int room);
void tensor_index_add(struct tensor_index *x, const struct tensor *t); /* at most room times */
/* Ends adding. Returns a name that was added twice, or NULL: then tensor_index_find may be called. */
const char *tensor_index_finish(struct tensor_index *x);
const struct tensor *tensor_index_find(const struct tensor_index *x, const char *name); /* NULL if absent */

/* Names stand in errors, logs and other files: 1 to 512 bytes, none of them a control character. */
enum { TENSOR_NAME_MAX = 512 };
bool tensor_name_ok(const char *name, size_t size);

/* "[3, 64]" for errors. */
void tensor_shape_text(char *text, size_t room, int rank, const int64_t *shape);

#endif
