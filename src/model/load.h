/* Weights from files into a model's shard: dequantised, un-permuted, cut, rounded to what the model computes in, and
 * checked to be finite. A shard of rows that the file holds in the right type is used where it is mapped. */
#ifndef RETORT_MODEL_LOAD_H
#define RETORT_MODEL_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct model;
struct param;

/* Local. Fills the data of every base parameter from m->files. */
int model_load(struct model *m, struct err *e);

/* Where a weight stands until it is packed. */
struct param_room {
    void *memory;
    size_t size;
};
void param_room_release(struct param_room *r);

/* Local. Where the elements of p go, in the type that the model keeps them in; sets p->dtype. A trainable one has its
 * place already. NULL and ERR_ENVIRONMENT if memory is short. */
void *param_memory(struct model *m, struct param *p, struct param_room *room, struct err *e);
/* Local. They are all at `rows`, there or in a file's map: p has them from now on. */
int param_keep(struct model *m, struct param *p, const void *rows, struct err *e);

/* Local. x[local columns], f32, becomes a local row of the elements of p at `to`. */
void param_store_row(const struct param *p, void *to, int64_t local_row, const float *x);

#endif
