/* Weights from files into a model's shard: dequantised, un-permuted, cut, rounded to what the model computes in, and
 * checked to be finite. A shard of rows that the file holds in the right type is used where it is mapped. */
#ifndef RETORT_MODEL_LOAD_H
#define RETORT_MODEL_LOAD_H

#include "base/err.h"

struct model;

/* Local. Fills the data of every base parameter from m->files. */
int model_load(struct model *m, struct err *e);

#endif
