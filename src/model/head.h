/* A model's head alone, on a rank that has no other part of it: what turns the states of `hidden` labels into the
 * teacher's logits. */
#ifndef RETORT_MODEL_HEAD_H
#define RETORT_MODEL_HEAD_H

#include "base/err.h"
#include "kern/gemm.h"
#include "model/params.h"

struct head;

/* Local. Reads rows [vocab.first, vocab.end) of the head of the model at path, as far as it has so many, in the
 * precision that the model computes in. key: the job key that names it, for errors. */
int head_open(struct head **out, const char *path, enum precision precision, struct range vocab, const char *key,
              struct err *e);
void head_close(struct head *h);

/* For gemm_forward in that precision. Rows that the model does not have are missing at the end. */
struct matrix head_matrix(const struct head *h);

#endif
