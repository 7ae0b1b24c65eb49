#include "fmt/tokenizer_merge.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

/* Runs that are remembered: words, mostly. All are forgotten when there is no room, which a corpus does every few MB.
 */
enum { REMEMBERED_LENGTH = 32, REMEMBERED_SLOTS = 1 << 16, REMEMBERED_IDS = 1 << 20 };
enum { NOWHERE = -1 };

/* A symbol of the run: a doubly linked list in an array. A symbol that was joined to the one before has id TOKEN_NONE.
 */
struct symbol {
    uint32_t id;
    ptrdiff_t previous, next;
};

/* A pair that may be joined: the symbol at place and its next. */
struct candidate {
    uint32_t rank, id;
    ptrdiff_t place;
};

struct remembered {
    uint64_t hash;
    uint32_t at;            /* in ids: the run, then what it became */
    uint8_t length, merged; /* length 0: a free slot */
};

struct bpe_memory {
    struct token_list run;
    struct symbol *symbols;
    size_t symbol_room;
    struct candidate *heap; /* the smallest (rank, place) first */
    size_t heap_count, heap_room;
    struct remembered *slots; /* [REMEMBERED_SLOTS] */
    struct token_list ids;
    size_t remembered_count;
};

struct bpe_memory *bpe_memory_new(void)
{
    struct bpe_memory *m = mem_alloc(sizeof *m);
    m->slots = mem_array(REMEMBERED_SLOTS, sizeof *m->slots);
    return m;
}

void bpe_memory_free(struct bpe_memory *m)
{
    if (!m)
        return;
    token_list_release(&m->run);
    token_list_release(&m->ids);
    mem_free(m->symbols);
    mem_free(m->heap);
    mem_free(m->slots);
    mem_free(m);
}

void bpe_add_to_run(struct bpe_memory *m, uint32_t id)
{
    token_list_add(&m->run, id);
}

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->place < b->place;
}

static void heap_push(struct bpe_memory *m, struct candidate c)
{
    if (m->heap_count == m->heap_room) {
        m->heap_room = m->heap_room ? 2 * m->heap_room : 64;
        m->heap = mem_resize(m->heap, m->heap_room, sizeof *m->heap);
    }
    size_t at = m->heap_count++;
    for (; at && before(&c, &m->heap[(at - 1) / 2]); at = (at - 1) / 2)
        m->heap[at] = m->heap[(at - 1) / 2];
    m->heap[at] = c;
}

static struct candidate heap_pop(struct bpe_memory *m)
{
    struct candidate top = m->heap[0], last = m->heap[--m->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= m->heap_count)
            break;
        if (child + 1 < m->heap_count && before(&m->heap[child + 1], &m->heap[child]))
            child++;
        if (!before(&m->heap[child], &last))
            break;
        m->heap[at] = m->heap[child];
        at = child;
    }
    m->heap[at] = last;
    return top;
}

static const struct merge *merge_at(const struct bpe *b, const struct bpe_memory *m, ptrdiff_t place)
{
    const struct symbol *s = &m->symbols[place];
    if (s->id == TOKEN_NONE || s->next == NOWHERE)
        return NULL;
    return merge_map_find(&b->merges, MERGE_PAIR(s->id, m->symbols[s->next].id));
}

static void push_pair_at(const struct bpe *b, struct bpe_memory *m, ptrdiff_t place)
{
    const struct merge *found = place == NOWHERE ? NULL : merge_at(b, m, place);
    if (found)
        heap_push(m, (struct candidate){found->rank, found->id, place});
}

static void lay_out_symbols(const struct bpe *b, struct bpe_memory *m)
{
    size_t n = m->run.count;
    if (n > m->symbol_room) {
        m->symbol_room = 2 * n;
        m->symbols = mem_resize(m->symbols, m->symbol_room, sizeof *m->symbols);
    }
    for (size_t i = 0; i < n; i++)
        m->symbols[i] = (struct symbol){m->run.ids[i], (ptrdiff_t)i - 1, i + 1 < n ? (ptrdiff_t)i + 1 : NOWHERE};
    for (size_t i = 0; i < n; i++)
        push_pair_at(b, m, (ptrdiff_t)i);
}

/* Joins the symbol at place with its next one, which leaves the list. */
static void join(const struct bpe *b, struct bpe_memory *m, ptrdiff_t place, uint32_t id)
{
    struct symbol *s = &m->symbols[place], *right = &m->symbols[s->next];
    s->id = id;
    s->next = right->next;
    right->id = TOKEN_NONE;
    if (s->next != NOWHERE)
        m->symbols[s->next].previous = place;
    push_pair_at(b, m, s->previous);
    push_pair_at(b, m, place);
}

static void merge_symbols(const struct bpe *b, struct bpe_memory *m, struct token_list *out)
{
    lay_out_symbols(b, m);
    while (m->heap_count) {
        struct candidate c = heap_pop(m);
        /* The pair may have changed since. If what stands there now makes the same token, it is joined at the old rank:
         * so does `tokenizers`, and it shows in the ids. */
        const struct merge *now = merge_at(b, m, c.place);
        if (now && now->id == c.id)
            join(b, m, c.place, c.id);
    }
    for (ptrdiff_t i = 0; i != NOWHERE; i = m->symbols[i].next)
        token_list_add(out, m->symbols[i].id);
}

static struct remembered *recall(const struct bpe_memory *m, uint64_t hash)
{
    size_t at = hash & (REMEMBERED_SLOTS - 1);
    for (;; at = (at + 1) & (REMEMBERED_SLOTS - 1)) {
        struct remembered *r = &m->slots[at];
        if (!r->length || (r->hash == hash && r->length == m->run.count &&
                           !memcmp(m->ids.ids + r->at, m->run.ids, m->run.count * sizeof *m->run.ids)))
            return r;
    }
}

static void forget_all(struct bpe_memory *m)
{
    memset(m->slots, 0, REMEMBERED_SLOTS * sizeof *m->slots);
    m->ids.count = 0;
    m->remembered_count = 0;
}

static void remember(struct bpe_memory *m, uint64_t hash, const uint32_t *merged, size_t count)
{
    if (2 * m->remembered_count >= REMEMBERED_SLOTS || m->ids.count + m->run.count + count > REMEMBERED_IDS)
        forget_all(m);
    *recall(m, hash) = (struct remembered){hash, (uint32_t)m->ids.count, (uint8_t)m->run.count, (uint8_t)count};
    for (size_t i = 0; i < m->run.count; i++)
        token_list_add(&m->ids, m->run.ids[i]);
    for (size_t i = 0; i < count; i++)
        token_list_add(&m->ids, merged[i]);
    m->remembered_count++;
}

static void merge_remembered(const struct bpe *b, struct bpe_memory *m, struct token_list *out)
{
    uint64_t hash = hash64(m->run.ids, m->run.count * sizeof *m->run.ids);
    const struct remembered *r = recall(m, hash);
    if (r->length) {
        for (size_t i = 0; i < r->merged; i++)
            token_list_add(out, m->ids.ids[r->at + r->length + i]);
        return;
    }
    size_t begin = out->count;
    merge_symbols(b, m, out);
    remember(m, hash, out->ids + begin, out->count - begin);
}

void bpe_merge_run(const struct bpe *b, struct bpe_memory *m, struct token_list *out)
{
    if (m->run.count == 1)
        token_list_add(out, m->run.ids[0]);
    else if (m->run.count && m->run.count <= REMEMBERED_LENGTH)
        merge_remembered(b, m, out);
    else if (m->run.count)
        merge_symbols(b, m, out);
    m->run.count = 0;
}
