#include "learn/items.h"

#include <stdbool.h>

int64_t items_end(const struct items *it)
{
    return it->validation + it->steps * it->per_step;
}

struct sequence items_sequence(const struct items *it, const struct corpus *c, int64_t item)
{
    if (item < it->validation)
        return corpus_sequence(c, SPLIT_VALIDATION, it->validated ? it->validated[item] : item);
    return corpus_sequence(c, SPLIT_TRAIN, order_at(&it->train, item - it->validation));
}

int64_t items_of_step(const struct items *it, int64_t step)
{
    return it->validation + (step - 1) * it->per_step;
}

int items_owner(const struct items *it, int64_t item)
{
    if (item < it->validation)
        return (int)(item % it->students);
    return (int)((item - it->validation) % it->per_step % it->students);
}

int items_maker(const struct items *it, int64_t item)
{
    if (item < it->validation)
        return (int)(item % it->teachers);
    return (int)((item - it->validation) % it->teachers);
}

/* Steps over what a resumed run has done before. */
static int64_t after(const struct items *it, int64_t item)
{
    int64_t next = item + 1, begin = items_of_step(it, it->first_step);
    return next >= it->validation && next < begin ? begin : next;
}

int64_t items_next_made(const struct items *it, int teacher, int64_t item)
{
    int64_t end = items_end(it);
    for (item = after(it, item); item < end && items_maker(it, item) != teacher;)
        item = after(it, item);
    return item < end ? item : end;
}

int64_t items_next_owned(const struct items *it, int student, int64_t item)
{
    int64_t end = items_end(it);
    for (item = after(it, item); item < end && items_owner(it, item) != student;)
        item = after(it, item);
    return item < end ? item : end;
}
