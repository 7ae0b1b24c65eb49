/* Sequences by their seq_id: those that a job wants labels of, and what is left of them. */
#ifndef RETORT_JOB_SEQUENCE_LIST_H
#define RETORT_JOB_SEQUENCE_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "data/corpus.h"
#include "label/store.h"
#include "learn/items.h"
#include "par/comm.h"

struct sequence_list {
    uint64_t *ids; /* [count]; owned */
    int64_t count;
};
void sequence_list_release(struct sequence_list *l);

/* Those that the items ask for, each once: of validation first, then of training in the order of their first use. */
void sequence_list_of_items(struct sequence_list *l, const struct items *it, const struct corpus *c);

/* All of the corpus, validation first. */
void sequence_list_all(struct sequence_list *l, const struct corpus *c);

/* Keeps every n-th from the k-th on (k from 1). */
void sequence_list_part(struct sequence_list *l, int k, int n);

/* Keeps those that the store has, or those that it lacks. */
void sequence_list_keep(struct sequence_list *l, const struct store *s, bool there);

/* Collective. Root's to all; the others' must be empty. */
void sequence_list_broadcast(struct sequence_list *l, const struct comm *c, int root);

#endif
