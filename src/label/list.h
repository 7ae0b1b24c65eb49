/* Growing arrays of label entries. Private to src/label. */
#ifndef RETORT_LABEL_LIST_H
#define RETORT_LABEL_LIST_H

#include "base/mem.h"

/* Room for at least `need` items: the array, moved if it had to grow. */
static inline void *list_reserve(void *items, size_t *room, size_t need, size_t size)
{
    if (need <= *room)
        return items;
    *room = need > 2 * *room ? need : 2 * *room;
    return mem_resize(items, *room, size);
}

#endif
