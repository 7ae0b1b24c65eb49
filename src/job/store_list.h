/* A label store in words, for people and as JSON: what its labels are, what is there and what is missing, its files. */
#ifndef RETORT_JOB_STORE_LIST_H
#define RETORT_JOB_STORE_LIST_H

#include <stdbool.h>

#include "base/strbuf.h"
#include "label/store.h"

/* Local. Lines, or one JSON document:
 *
 *     {kind: "store", path, description: {as store.json}, splits: {train: {sequences, there, missing}, validation: ..},
 *      records, labels, bytes, bytes_per_label, files: [{name, owner, sealed, records, bytes, rest,
 * seconds_unchanged}]}
 *
 * records counts every sequence once; bytes are those of its record. */
int store_list(const struct store *s, const char *path, bool json, struct strbuf *out, struct err *e);

/* Lines that say what the labels are. */
void store_list_description(const struct store_description *d, struct strbuf *out);

#endif
