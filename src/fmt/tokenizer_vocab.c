#include "fmt/tokenizer_vocab.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "fmt/unicode.h"

enum { FIRST_SLOTS = 1024, DIRECT_CHARACTERS = 65536 };

static void fill_with_none(uint32_t *ids, size_t n)
{
    memset(ids, 0xff, n * sizeof *ids);
}

void vocab_init(struct vocab *v)
{
    *v = (struct vocab){.slot_count = FIRST_SLOTS};
    strbuf_init(&v->bytes);
    v->slots = mem_array(FIRST_SLOTS, sizeof *v->slots);
    fill_with_none(v->slots, FIRST_SLOTS);
    v->characters = mem_array(DIRECT_CHARACTERS, sizeof *v->characters);
    fill_with_none(v->characters, DIRECT_CHARACTERS);
}

void vocab_release(struct vocab *v)
{
    strbuf_release(&v->bytes);
    mem_free(v->places);
    mem_free(v->slots);
    mem_free(v->characters);
}

const char *vocab_piece(const struct vocab *v, uint32_t id, size_t *size)
{
    if (id >= v->size || !v->places[id].size)
        return NULL;
    *size = v->places[id].size;
    return v->bytes.data + v->places[id].offset;
}

/* The slot that holds the piece, or the free one where it would go. */
static uint32_t *slot_of(const struct vocab *v, const char *piece, size_t size)
{
    size_t at = hash64(piece, size) & (v->slot_count - 1);
    while (v->slots[at] != TOKEN_NONE) {
        const struct vocab_place *p = &v->places[v->slots[at]];
        if (p->size == size && !memcmp(v->bytes.data + p->offset, piece, size))
            break;
        at = (at + 1) & (v->slot_count - 1);
    }
    return &v->slots[at];
}

uint32_t vocab_find(const struct vocab *v, const char *piece, size_t size)
{
    return *slot_of(v, piece, size);
}

uint32_t vocab_find_character(const struct vocab *v, uint32_t c)
{
    if (c < DIRECT_CHARACTERS)
        return v->characters[c];
    struct strbuf text;
    strbuf_init(&text);
    utf8_append(&text, c);
    uint32_t id = vocab_find(v, text.data, text.size);
    strbuf_release(&text);
    return id;
}

static void grow_slots(struct vocab *v)
{
    uint32_t *old = v->slots;
    size_t n = v->slot_count;
    v->slot_count *= 2;
    v->slots = mem_array(v->slot_count, sizeof *v->slots);
    fill_with_none(v->slots, v->slot_count);
    for (size_t i = 0; i < n; i++)
        if (old[i] != TOKEN_NONE)
            *slot_of(v, v->bytes.data + v->places[old[i]].offset, v->places[old[i]].size) = old[i];
    mem_free(old);
}

static void make_room(struct vocab *v, uint32_t id)
{
    if (id >= v->room) {
        uint32_t room = id < TOKEN_ID_MAX / 2 ? 2 * id + 1024 : TOKEN_ID_MAX + 1;
        v->places = mem_resize(v->places, room, sizeof *v->places);
        memset(v->places + v->room, 0, (room - v->room) * sizeof *v->places);
        v->room = room;
    }
    if (id >= v->size)
        v->size = id + 1;
    if (2 * (size_t)v->count >= v->slot_count)
        grow_slots(v);
}

bool vocab_add(struct vocab *v, const char *piece, size_t size, uint32_t id)
{
    size_t there;
    if (vocab_piece(v, id, &there) || vocab_find(v, piece, size) != TOKEN_NONE)
        return false;
    make_room(v, id);
    *slot_of(v, piece, size) = id;
    v->places[id] = (struct vocab_place){v->bytes.size, size};
    v->count++;
    strbuf_add(&v->bytes, piece, size);
    strbuf_addc(&v->bytes, 0);
    uint32_t c;
    if (utf8_is_one(piece, size, &c) && c < DIRECT_CHARACTERS)
        v->characters[c] = id;
    return true;
}
