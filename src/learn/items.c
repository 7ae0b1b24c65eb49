#include "learn/items.h"

int64_t items_end(const struct items *it)
{
    return it->validation + it->steps * it->per_step;
}

static enum split split_of(const struct items *it, int64_t item)
{
    return item < it->validation ? SPLIT_VALIDATION : SPLIT_TRAIN;
}

static int64_t index_of(const struct items *it, int64_t item)
{
    if (item >= it->validation)
        return order_at(&it->train, item - it->validation);
    return it->validated ? it->validated[item] : item;
}

struct sequence items_sequence(const struct items *it, const struct corpus *c, int64_t item)
{
    return corpus_sequence(c, split_of(it, item), index_of(it, item));
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

bool items_is_stored(const struct items *it, int64_t item)
{
    const struct items_stored *s = it->stored;
    return s && s->written[split_of(it, item)][index_of(it, item)] < (item < s->again ? 0 : s->again);
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
    for (item = after(it, item); item < end && (items_maker(it, item) != teacher || items_is_stored(it, item));)
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
