#include "job/sequence_list.h"

#include "base/integer.h"
#include "base/mem.h"

void sequence_list_release(struct sequence_list *l)
{
    mem_free(l->ids);
    *l = (struct sequence_list){0};
}

static void reserve(struct sequence_list *l, int64_t most)
{
    *l = (struct sequence_list){.ids = mem_array((size_t)most, sizeof *l->ids)};
}

static void add(struct sequence_list *l, uint64_t id)
{
    l->ids[l->count++] = id;
}

void sequence_list_of_items(struct sequence_list *l, const struct items *it, const struct corpus *c)
{
    const int64_t n = it->train.count, whole = corpus_count(c, SPLIT_TRAIN);
    const int64_t first = items_of_step(it, it->first_step);
    /* two epochs from anywhere hold every sequence: what comes later is no news */
    const int64_t end = min_i64(items_end(it), first + 2 * n);
    unsigned char *seen = mem_array((size_t)whole, 1);
    reserve(l, it->validation + min_i64(n, max_i64(0, end - first)));
    for (int64_t item = 0; item < it->validation; item++)
        add(l, items_sequence(it, c, item).id);
    for (int64_t item = first; item < end; item++) {
        const uint64_t id = items_sequence(it, c, item).id, index = (uint64_t)sequence_index(id);
        if (!seen[index]++)
            add(l, id);
    }
    mem_free(seen);
}

void sequence_list_all(struct sequence_list *l, const struct corpus *c)
{
    const int64_t validation = corpus_count(c, SPLIT_VALIDATION), train = corpus_count(c, SPLIT_TRAIN);
    reserve(l, validation + train);
    for (int64_t i = 0; i < validation; i++)
        add(l, corpus_sequence(c, SPLIT_VALIDATION, i).id);
    for (int64_t i = 0; i < train; i++)
        add(l, corpus_sequence(c, SPLIT_TRAIN, i).id);
}

void sequence_list_part(struct sequence_list *l, int k, int n)
{
    int64_t kept = 0;
    for (int64_t i = k - 1; i < l->count; i += n)
        l->ids[kept++] = l->ids[i];
    l->count = kept;
}

void sequence_list_keep(struct sequence_list *l, const struct store *s, bool there)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < l->count; i++) {
        size_t size;
        if ((store_find(s, l->ids[i], &size) != NULL) == there)
            l->ids[kept++] = l->ids[i];
    }
    l->count = kept;
}

void sequence_list_broadcast(struct sequence_list *l, const struct comm *c, int root)
{
    void *bytes = l->ids;
    size_t size = (size_t)l->count * sizeof *l->ids;
    comm_broadcast_buffer(c, &bytes, &size, root);
    l->ids = bytes;
    l->count = (int64_t)(size / sizeof *l->ids);
}
