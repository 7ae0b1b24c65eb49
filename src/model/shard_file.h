/* A .safetensors file that many ranks write together, each its own part of each tensor, by pwrite: the layout of the
 * file is known to all from the plan, so whole tensors stand in it whatever the layout of ranks was. And the way back:
 * any part of any tensor, read by whoever needs it. */
#ifndef RETORT_MODEL_SHARD_FILE_H
#define RETORT_MODEL_SHARD_FILE_H

#include "base/err.h"
#include "fmt/safetensors.h"
#include "model/params.h"
#include "par/comm.h"

struct shard_file;

/* Collective over writers. Every rank passes an equal plan. The file appears under a temporary name until the commit.
 */
int shard_file_create(struct shard_file **out, const char *path, struct safetensors_plan *plan,
                      const struct comm *writers, struct err *e);

/* Local. values are the local elements [first, end) of p in f32; those that another shard counts (param.owned_first)
 * are left to it. They become the dtype of tensor `index` of the plan. */
int shard_file_write(struct shard_file *f, int index, enum dtype dtype, const struct param *p, const float *values,
                     int64_t first, int64_t end, struct err *e);

/* Collective over writers: agrees on e (the error of the writes, if any), syncs, renames, frees. On failure the
 * temporary file is removed and -1 returned everywhere. */
int shard_file_commit(struct shard_file *f, struct err *e);

/* Local. The local elements [first, end) of p from a whole F32, BF16 or F16 tensor. ERR_INPUT if its shape is not p's;
 * path stands in the error. */
int shard_read(const struct param *p, float *values, int64_t first, int64_t end, const struct tensor *t,
               const char *path, struct err *e);

#endif
