#include "learn/micro_batch.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

void micro_batch_init(struct micro_batch *b, int64_t room)
{
    size_t n = (size_t)room;
    *b = (struct micro_batch){
        .room = room,
        .ids = mem_array(n, sizeof *b->ids),
        .position = mem_array(n, sizeof *b->position),
        .start = mem_array(n + 1, sizeof *b->start),
        .place = mem_array(n, sizeof *b->place),
        .rows = mem_array(n, sizeof *b->rows),
        .targets = mem_array(n, sizeof *b->targets),
    };
}

void micro_batch_release(struct micro_batch *b)
{
    mem_free(b->ids);
    mem_free(b->position);
    mem_free(b->start);
    mem_free(b->place);
    mem_free(b->rows);
    mem_free(b->targets);
    *b = (struct micro_batch){0};
}

void micro_batch_clear(struct micro_batch *b)
{
    b->T = b->n = 0;
    b->documents = 0;
}

static void add_documents(struct micro_batch *b, const struct sequence *s)
{
    for (int d = 0; d < s->documents; d++) {
        b->start[b->documents++] = (int32_t)b->T + s->starts[d];
        for (int32_t i = s->starts[d]; i < s->starts[d + 1]; i++)
            b->position[b->T + i] = i - s->starts[d];
    }
    b->start[b->documents] = (int32_t)b->T + s->tokens;
}

void micro_batch_add(struct micro_batch *b, const struct sequence *s, int64_t place, const struct label_set *labels)
{
    ASSERT(b->T + s->tokens <= b->room);
    memcpy(b->ids + b->T, s->ids, (size_t)s->tokens * sizeof *b->ids);
    add_documents(b, s);
    int label = 0;
    for (int i = 0; i < s->tokens; i++) {
        b->place[b->T + i] = (uint64_t)place << 32 | (uint64_t)i;
        if (i + 1 == s->tokens || !s->supervised[i + 1])
            continue;
        b->rows[b->n] = (int32_t)(b->T + i);
        b->targets[b->n++] = (struct target){s->ids[i + 1], labels, label++};
    }
    ASSERT(label == s->labels && (!labels || labels->labels == label));
    b->T += s->tokens;
}

struct batch micro_batch_view(const struct micro_batch *b)
{
    return (struct batch){
        .T = b->T, .documents = b->documents, .ids = b->ids, .position = b->position, .start = b->start};
}
