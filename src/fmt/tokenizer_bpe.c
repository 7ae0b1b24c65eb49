/* The rules: merges, joints, and how a word becomes symbols. The merging itself is in tokenizer_merge.c. */
#include "fmt/tokenizer_bpe.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "fmt/tokenizer_merge.h"
#include "fmt/unicode.h"

enum { FIRST_SLOTS = 256 };

static void merge_map_init(struct merge_map *m, size_t slots)
{
    m->slots = mem_array(slots, sizeof *m->slots);
    m->slot_count = slots;
    m->count = 0;
    for (size_t i = 0; i < slots; i++)
        m->slots[i].pair = MERGE_FREE;
}

static struct merge *slot_of(const struct merge_map *m, uint64_t pair)
{
    uint64_t h = pair * 0x9e3779b97f4a7c15u; /* 2^64 / golden ratio: the high bits are well mixed */
    size_t at = (h >> 32) & (m->slot_count - 1);
    while (m->slots[at].pair != MERGE_FREE && m->slots[at].pair != pair)
        at = (at + 1) & (m->slot_count - 1);
    return &m->slots[at];
}

const struct merge *merge_map_find(const struct merge_map *m, uint64_t pair)
{
    const struct merge *found = slot_of(m, pair);
    return found->pair == MERGE_FREE ? NULL : found;
}

static void merge_map_put(struct merge_map *m, struct merge entry)
{
    if (2 * m->count >= m->slot_count) {
        struct merge_map larger;
        merge_map_init(&larger, 2 * m->slot_count);
        for (size_t i = 0; i < m->slot_count; i++)
            if (m->slots[i].pair != MERGE_FREE)
                merge_map_put(&larger, m->slots[i]);
        mem_free(m->slots);
        *m = larger;
    }
    struct merge *slot = slot_of(m, entry.pair);
    m->count += slot->pair == MERGE_FREE;
    *slot = entry;
}

void bpe_init(struct bpe *b, const struct vocab *v)
{
    *b = (struct bpe){.vocab = v, .unknown = TOKEN_NONE};
    merge_map_init(&b->merges, FIRST_SLOTS);
    merge_map_init(&b->joints, FIRST_SLOTS);
    for (int i = 0; i < 256; i++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)i);
        b->byte_ids[i] = vocab_find(v, name, 6);
    }
}

void bpe_release(struct bpe *b)
{
    mem_free(b->merges.slots);
    mem_free(b->joints.slots);
}

void bpe_add_merge(struct bpe *b, uint32_t left, uint32_t right, uint32_t rank, uint32_t id)
{
    merge_map_put(&b->merges, (struct merge){MERGE_PAIR(left, right), rank, id});
}

/* Whether a word may begin as this symbol although the token has many characters. */
static bool is_composed_symbol(const struct bpe *b, uint32_t id)
{
    size_t size;
    const char *piece = vocab_piece(b->vocab, id, &size);
    uint32_t c;
    if (utf8_is_one(piece, size, &c))
        return false;
    if (id == b->unknown)
        return true;
    unsigned byte;
    return b->byte_fallback && size == 6 && sscanf(piece, "<0x%2X>", &byte) == 1 && b->byte_ids[byte] == id;
}

/* Notes the first symbols that meet where left and right are joined: the last character of one, the first of the other.
 */
static void add_joint(struct bpe *b, uint32_t left, uint32_t right)
{
    size_t size_left, size_right;
    const char *l = vocab_piece(b->vocab, left, &size_left), *r = vocab_piece(b->vocab, right, &size_right);
    const char *last = utf8_previous(l + size_left);
    uint32_t before = vocab_find_character(b->vocab, utf8_next(&last));
    uint32_t after = vocab_find_character(b->vocab, utf8_next(&r));
    if (before != TOKEN_NONE && after != TOKEN_NONE) /* else no text can come to this merge */
        merge_map_put(&b->joints, (struct merge){MERGE_PAIR(before, after), 0, 0});
}

/* A word of Llama 2 is a whole document. But where no merge joins the two characters at a place, nothing that is merged
 * on one side can change the other side: the word may be cut there, and short runs are fast and can be remembered. This
 * holds as long as every token that is merged is made of its own characters, which byte and unknown tokens are not. */
void bpe_finish(struct bpe *b)
{
    b->cut = true;
    for (size_t i = 0; i < b->merges.slot_count; i++) {
        uint64_t pair = b->merges.slots[i].pair;
        if (pair == MERGE_FREE)
            continue;
        uint32_t left = (uint32_t)(pair >> 32), right = (uint32_t)pair;
        if (is_composed_symbol(b, left) || is_composed_symbol(b, right))
            b->cut = false;
        add_joint(b, left, right);
    }
}

/* A word on its way: symbols are gathered until the next one cannot be joined to them. */
struct word {
    const struct bpe *bpe;
    struct bpe_memory *memory;
    struct token_list *out;
    uint32_t last;
    size_t unknowns; /* tokens for unknown characters that are not in the run yet */
};

static void add_symbol(struct word *w, uint32_t id)
{
    if (w->last != TOKEN_NONE && w->bpe->cut && !merge_map_find(&w->bpe->joints, MERGE_PAIR(w->last, id)))
        bpe_merge_run(w->bpe, w->memory, w->out);
    bpe_add_to_run(w->memory, id);
    w->last = id;
}

static void flush_unknown(struct word *w)
{
    if (w->unknowns)
        add_symbol(w, w->bpe->unknown);
    w->unknowns = 0;
}

static bool add_bytes(struct word *w, const char *character, size_t size)
{
    if (!w->bpe->byte_fallback)
        return false;
    for (size_t i = 0; i < size; i++)
        if (w->bpe->byte_ids[(unsigned char)character[i]] == TOKEN_NONE)
            return false;
    /* an unknown character that waits stays behind these bytes: `tokenizers` has it so */
    for (size_t i = 0; i < size; i++)
        add_symbol(w, w->bpe->byte_ids[(unsigned char)character[i]]);
    return true;
}

static void add_unknown(struct word *w)
{
    if (w->bpe->unknown == TOKEN_NONE)
        return;
    if (!w->bpe->fuse_unknown)
        flush_unknown(w);
    w->unknowns = 1;
}

void bpe_encode(const struct bpe *b, struct bpe_memory *m, const char *word, size_t size, struct token_list *out)
{
    if (b->ignore_merges) {
        uint32_t whole = vocab_find(b->vocab, word, size);
        if (whole != TOKEN_NONE) {
            token_list_add(out, whole);
            return;
        }
    }
    struct word w = {b, m, out, TOKEN_NONE, 0};
    for (const char *at = word, *end = word + size; at < end;) {
        const char *begin = at;
        uint32_t id = vocab_find_character(b->vocab, utf8_next(&at));
        if (id != TOKEN_NONE) {
            flush_unknown(&w);
            add_symbol(&w, id);
        } else if (!add_bytes(&w, begin, (size_t)(at - begin))) {
            add_unknown(&w);
        }
    }
    flush_unknown(&w);
    bpe_merge_run(b, m, out);
}
