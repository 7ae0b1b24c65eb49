/* The .safetensors container: an 8-byte little-endian header size, a JSON header, then the tensors' bytes.
 *
 * A file is mapped; tensors are views into the map. Everything the header claims is checked at open: offsets inside the
 * file, in order and without holes or overlap, byte counts that match shape and type, names once, a bounded header.
 * Refused, never repaired: what fails names the file and the tensor. */
#ifndef RETORT_FMT_SAFETENSORS_H
#define RETORT_FMT_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/err.h"
#include "base/strbuf.h"

enum { TENSOR_RANK_MAX = 8 };

/* A tensor as it lies in a file. shape is row-major, slowest first. */
struct tensor {
    const char *name;
    enum dtype dtype;
    int rank;
    int64_t shape[TENSOR_RANK_MAX];
    int64_t elements;
    const unsigned char *data; /* borrowed from the file's map */
    uint64_t bytes;
    uint64_t offset; /* of data from the beginning of the file */
};

struct safetensors;

int safetensors_open(struct safetensors **out, const char *path, struct err *e);
/* The same over bytes that the caller keeps (fuzzing); name stands in errors. */
int safetensors_parse(struct safetensors **out, const void *bytes, size_t size, const char *name, struct err *e);
void safetensors_close(struct safetensors *s);

int safetensors_count(const struct safetensors *s);
const struct tensor *safetensors_at(const struct safetensors *s, int i);              /* in file order */
const struct tensor *safetensors_find(const struct safetensors *s, const char *name); /* NULL if absent */
const char *safetensors_metadata(const struct safetensors *s, const char *key);       /* NULL if absent */

/* The plan of a file to write. Every rank of a job makes the same plan and knows where each tensor goes, so that many
 * may write their parts of one file with pwrite; the header is written by one of them. */
struct safetensors_plan;

struct safetensors_plan *safetensors_plan_new(void);
void safetensors_plan_free(struct safetensors_plan *p);
void safetensors_plan_metadata(struct safetensors_plan *p, const char *key, const char *value);
/* The tensor's index. name is copied. Tensors are laid out in the order of these calls. */
int safetensors_plan_add(struct safetensors_plan *p, const char *name, enum dtype dtype, int rank,
                         const int64_t *shape);
/* For a file whose data is written before its plan is known: the header is padded to this size (a multiple of 64, more
 * than it needs). */
void safetensors_plan_reserve(struct safetensors_plan *p, size_t header_size);
/* Ends the plan; header becomes the bytes at offset 0 of the file (padded with spaces so that data is 64-byte aligned).
 */
void safetensors_plan_finish(struct safetensors_plan *p, struct strbuf *header);
uint64_t safetensors_plan_offset(const struct safetensors_plan *p, int index); /* from the beginning of the file */
uint64_t safetensors_plan_size(const struct safetensors_plan *p);              /* of the whole file */

#endif
