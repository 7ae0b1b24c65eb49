/* A model of a config alone: its weights are drawn, not read, so that shapes can be timed without their files. */
#ifndef RETORT_MODEL_RANDOM_H
#define RETORT_MODEL_RANDOM_H

#include "base/err.h"
#include "model/model.h"

/* Local. Matrices uniform with variance 1 / inputs, so that activations keep their size; gains 1, biases 0. The same
 * values for every precision; other ones for every shard. ERR_ENVIRONMENT if memory is short. */
int model_fill_random(struct model *m, struct err *e);

#endif
