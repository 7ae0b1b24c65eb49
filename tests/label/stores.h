/* Small stores, for the tests of the store and of the commands that look after one. */
#ifndef RETORT_TESTS_LABEL_STORES_H
#define RETORT_TESTS_LABEL_STORES_H

#include "label/store.h"

/* Sequences of the corpus that every store here is of. */
enum { STORES_TRAIN = 40, STORES_VALIDATION = 8 };

/* A store of made_spec(format). */
struct store_description stores_description(int format);

/* Sequence i of STORES_TRAIN + STORES_VALIDATION. */
uint64_t stores_seq_id(int i);

/* The record of sequence i, the same every time; mem_free it. */
void *stores_record(int format, int i, size_t *size);

/* Appends sequences first .. end - 1 as a writer of its own (`most`: of a file) and seals, or leaves the last file
 * open. Returns the generation; negative with e. */
int stores_fill(const char *directory, int format, int first, int end, uint64_t most, bool seal, struct err *e);

/* How many sequences 0 .. STORES_TRAIN + STORES_VALIDATION - 1 are there, each byte as it was written; -1: one is
 * another. */
int stores_whole(const struct store *s, int format);

#endif
