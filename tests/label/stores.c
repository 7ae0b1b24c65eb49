#include "stores.h"

#include <string.h>

#include "base/mem.h"
#include "made.h"

struct store_description stores_description(int format)
{
    struct store_description d = {.label = made_spec(format),
                                  .tokenizer = UINT64_C(0x1111222233334444),
                                  .corpus = UINT64_C(0xaaaabbbbccccdddd),
                                  .sequences = {STORES_TRAIN, STORES_VALIDATION},
                                  .sequence_length = 3 * MADE_LABELS,
                                  .vocabulary = MADE_VOCABULARY,
                                  .vocabulary_mask = 77,
                                  .teacher = UINT64_C(0xfedcba9876543210)};
    strcpy(d.teacher_name, "models/teacher");
    strcpy(d.precision, "bf16");
    strcpy(d.version, "0.1.0");
    return d;
}

uint64_t stores_seq_id(int i)
{
    return i < STORES_TRAIN ? (uint64_t)i : UINT64_C(1) << 56 | (uint64_t)(i - STORES_TRAIN);
}

struct cached {
    void *bytes;
    size_t size;
};

/* Made once: tests ask for them thousands of times. */
static const struct cached *cached_record(int format, int i)
{
    static struct cached cache[MADE_FORMATS][STORES_TRAIN + STORES_VALIDATION];
    static struct made m;
    struct cached *c = &cache[format][i];
    const struct label_spec spec = made_spec(format);
    if (c->bytes)
        return c;
    made_fill(&m, &spec, (uint64_t)i);
    c->bytes = made_record_of(&m, stores_seq_id(i), MADE_INPUT_HASH + (uint64_t)i, &c->size);
    return c;
}

void *stores_record(int format, int i, size_t *size)
{
    const struct cached *c = cached_record(format, i);
    *size = c->size;
    return memcpy(mem_alloc(c->size), c->bytes, c->size);
}

int stores_fill(const char *directory, int format, int first, int end, uint64_t most, bool seal, struct err *e)
{
    struct store_append *a;
    int generation, rc = 0;
    if (store_join(directory, "node1, process 7, job test", &generation, e) ||
        store_append_new(&a, directory, generation, 0, "node1, process 7, job test", most, e))
        return -1;
    for (int i = first; i < end && !rc; i++) {
        const struct cached *c = cached_record(format, i);
        rc = store_append(a, c->bytes, c->size, e);
    }
    if (!rc)
        rc = seal ? store_append_seal(a, e) : store_append_sync(a, e);
    store_append_free(a);
    return rc ? -1 : generation;
}

int stores_whole(const struct store *s, int format)
{
    int there = 0;
    for (int i = 0; i < STORES_TRAIN + STORES_VALIDATION; i++) {
        size_t size;
        const void *found = store_find(s, stores_seq_id(i), &size);
        const struct cached *c = cached_record(format, i);
        if (found && (size != c->size || memcmp(found, c->bytes, size)))
            return -1;
        there += found != NULL;
    }
    return there;
}
