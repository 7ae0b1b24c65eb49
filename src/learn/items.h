/* The numbering of label items, which every rank knows without asking: first the validation sequences, then the
 * training sequences in the order of steps. Who makes an item and who owns it follows from its number (SEMANTICS, Who
 * runs what): place g = (s - 1) B + i of the endless order is made by teacher replica g mod Rt and owned by student
 * replica i mod Rs. */
#ifndef RETORT_LEARN_ITEMS_H
#define RETORT_LEARN_ITEMS_H

#include <stdbool.h>
#include <stdint.h>

#include "data/corpus.h"
#include "data/order.h"

/* Records that need no teacher, because a store has them. written[split][index] is the item with which the sequence's
 * record goes there. */
struct items_stored {
    const int64_t *written[SPLIT_COUNT];
    int64_t again; /* what items before this one have written may be read from it on */
};
#define ITEM_BEFORE INT64_C(-1) /* it was there when the run began */
#define ITEM_NEVER INT64_MAX

struct items {
    struct order train;                /* of training sequences */
    const int64_t *validated;          /* [validation] indices in their split, ascending; borrowed. NULL: all of them */
    int64_t validation;                /* sequences that are validated with */
    int64_t per_step;                  /* B, sequences of a step */
    int64_t first_step, steps;         /* steps first_step .. steps are run (a resumed run begins later) */
    int students, teachers;            /* replicas */
    const struct items_stored *stored; /* borrowed; NULL: every item is made */
};

/* One past the last item. Items of steps before first_step keep their numbers but are never asked for. */
int64_t items_end(const struct items *it);

/* What it labels. */
struct sequence items_sequence(const struct items *it, const struct corpus *c, int64_t item);

int64_t items_of_step(const struct items *it, int64_t step); /* the first of step's per_step items */
int items_owner(const struct items *it, int64_t item);       /* student replica */
int items_maker(const struct items *it, int64_t item);       /* teacher replica */

/* Whether the item's record is read from the store, so that nobody makes it. */
bool items_is_stored(const struct items *it, int64_t item);

/* The first item after `item` (-1: from the beginning) that is asked for and that this teacher makes, unless it is
 * stored; items_end if none. */
int64_t items_next_made(const struct items *it, int teacher, int64_t item);
/* The same for those that a student owns, stored or not. */
int64_t items_next_owned(const struct items *it, int student, int64_t item);

#endif
