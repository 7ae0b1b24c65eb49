/* The reader of a packed corpus. Nothing of the file is believed: sizes, checksums, and every table that a caller will
 * index by are checked at open, so that what corpus_sequence() hands out needs no further check. */
#include "data/corpus_file.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/cursor.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

struct corpus {
    struct file_map map; /* empty for corpus_parse */
    const unsigned char *bytes;
    const struct corpus_header *header;
    const uint64_t *index;
};

uint64_t sequence_hash(const struct sequence *s)
{
    const uint32_t shift = 1;
    struct hash64 *h = hash64_new();
    hash64_add(h, s->ids, (size_t)s->tokens * sizeof *s->ids);
    hash64_add(h, s->starts, (size_t)s->documents * sizeof *s->starts);
    hash64_add(h, s->supervised, (size_t)s->tokens);
    hash64_add(h, &shift, sizeof shift);
    uint64_t value = hash64_value(h);
    hash64_free(h);
    return value;
}

static int broken(const char *name, const char *what, struct err *e)
{
    return err_set(e, ERR_INPUT, "%s: %s: the packed corpus is damaged; remove the file, it is built anew", name, what);
}

static int check_header(const struct corpus_header *h, size_t size, const char *name, uint64_t key, struct err *e)
{
    if (size < sizeof *h)
        return broken(name, "shorter than a header", e);
    if (memcmp(h->magic, CORPUS_MAGIC, sizeof h->magic) != 0)
        return err_set(e, ERR_INPUT, "%s: not a packed corpus", name);
    if (h->version != CORPUS_VERSION)
        return err_set(e, ERR_INPUT, "%s: a packed corpus of version %u, this program reads %d: remove the file", name,
                       h->version, CORPUS_VERSION);
    if (h->header_crc != corpus_header_crc(h))
        return broken(name, "header checksum", e);
    if (h->key != key)
        return err_set(e, ERR_INPUT,
                       "%s: packed from other data, tokenizer or settings (key %016" PRIx64
                       ", this job's is %016" PRIx64 "): remove the file",
                       name, h->key, key);
    if (h->file_size != size)
        return broken(name, "size is not the header's", e);
    return 0;
}

/* The index lies at the end: everything between it and the header is blocks. */
static int check_layout(const struct corpus_header *h, size_t size, const char *name, struct err *e)
{
    uint64_t count, bytes;
    if (__builtin_add_overflow(h->sequences[SPLIT_TRAIN], h->sequences[SPLIT_VALIDATION], &count) ||
        __builtin_mul_overflow(count, sizeof(uint64_t), &bytes) || h->index_offset % sizeof(uint64_t) ||
        h->index_offset < sizeof *h || h->index_offset > size || bytes != size - h->index_offset)
        return broken(name, "index", e);
    if (h->sequence_length < 1 || h->sequence_length > INT32_MAX)
        return broken(name, "sequence_length", e);
    return 0;
}

/* Reads the block at c into s. False if it is not one: too large, documents out of order, a mask that is none. */
static bool read_block(struct cursor *c, uint32_t sequence_length, struct sequence *s)
{
    const struct corpus_block *b = cursor_bytes(c, sizeof *b);
    if (!b || b->tokens < 1 || b->tokens > sequence_length || b->documents < 1 || b->documents > b->tokens)
        return false;
    s->input_hash = b->input_hash;
    s->tokens = (int)b->tokens;
    s->documents = (int)b->documents;
    s->labels = (int)b->labels;
    s->starts = cursor_array(c, (uint64_t)b->documents + 1, sizeof *s->starts);
    s->ids = cursor_array(c, b->tokens, sizeof *s->ids);
    s->supervised = cursor_bytes(c, b->tokens);
    cursor_bytes(c, (uint64_t)(-(uintptr_t)c->at % sizeof(uint64_t)));
    return cursor_ok(c);
}

static bool block_is_sound(const struct sequence *s)
{
    int labels = 0;
    for (int i = 0; i < s->tokens; i++) {
        if (s->supervised[i] > 1)
            return false;
        labels += s->supervised[i];
    }
    if (labels != s->labels || s->starts[0] != 0 || s->starts[s->documents] != s->tokens)
        return false;
    for (int d = 0; d < s->documents; d++)
        if (s->starts[d] >= s->starts[d + 1] || s->starts[d + 1] > s->tokens || s->supervised[s->starts[d]])
            return false;
    return s->input_hash == sequence_hash(s);
}

static int check_blocks(const struct corpus *k, const char *name, struct err *e)
{
    const struct corpus_header *h = k->header;
    const uint64_t count = h->sequences[SPLIT_TRAIN] + h->sequences[SPLIT_VALIDATION];
    struct cursor c;
    cursor_init(&c, k->bytes + sizeof *h, (size_t)(h->index_offset - sizeof *h));
    for (uint64_t i = 0; i < count; i++) {
        struct sequence s = {0};
        if (k->index[i] != (uint64_t)(c.at - k->bytes) || !read_block(&c, h->sequence_length, &s) ||
            !block_is_sound(&s))
            return err_set(e, ERR_INPUT,
                           "%s: sequence %" PRIu64 ": the packed corpus is damaged; remove the file, it is built anew",
                           name, i);
    }
    return cursor_left(&c) ? broken(name, "bytes before the index", e) : 0;
}

static int check(struct corpus *k, const unsigned char *bytes, size_t size, const char *name, uint64_t key,
                 struct err *e)
{
    k->bytes = bytes;
    k->header = (const struct corpus_header *)bytes;
    if (check_header(k->header, size, name, key, e) || check_layout(k->header, size, name, e))
        return -1;
    if (k->header->body_hash != hash64(bytes + sizeof *k->header, size - sizeof *k->header))
        return broken(name, "checksum", e);
    k->index = (const uint64_t *)(bytes + k->header->index_offset);
    return check_blocks(k, name, e);
}

int corpus_parse(struct corpus **out, const void *bytes, size_t size, const char *name, uint64_t key, struct err *e)
{
    ASSERT((uintptr_t)bytes % sizeof(uint64_t) == 0);
    struct corpus *k = mem_alloc(sizeof *k);
    if (check(k, bytes, size, name, key, e)) {
        corpus_close(k);
        return -1;
    }
    *out = k;
    return 0;
}

int corpus_open(struct corpus **out, const char *path, uint64_t key, struct err *e)
{
    struct corpus *k = mem_alloc(sizeof *k);
    if (file_map_open(&k->map, path, e) || check(k, k->map.data, k->map.size, path, key, e)) {
        corpus_close(k);
        return -1;
    }
    *out = k;
    return 0;
}

void corpus_close(struct corpus *k)
{
    if (!k)
        return;
    file_map_close(&k->map);
    mem_free(k);
}

int64_t corpus_count(const struct corpus *k, enum split split)
{
    return (int64_t)k->header->sequences[split];
}

struct sequence corpus_sequence(const struct corpus *k, enum split split, int64_t index)
{
    ASSERT(index >= 0 && index < corpus_count(k, split));
    const int64_t before = split == SPLIT_TRAIN ? 0 : corpus_count(k, SPLIT_TRAIN);
    const uint64_t offset = k->index[before + index];
    struct sequence s = {.id = sequence_id(split, index)};
    struct cursor c;
    cursor_init(&c, k->bytes + offset, (size_t)(k->header->index_offset - offset));
    ASSERT(read_block(&c, k->header->sequence_length, &s));
    return s;
}

struct sequence corpus_find(const struct corpus *k, uint64_t seq_id)
{
    const uint64_t split = sequence_split(seq_id);
    ASSERT(split < SPLIT_COUNT);
    return corpus_sequence(k, (enum split)split, sequence_index(seq_id));
}

char *sequence_name(uint64_t seq_id)
{
    const bool validation = sequence_split(seq_id) == SPLIT_VALIDATION;
    return mem_printf("sequence %llu of %s", (unsigned long long)sequence_index(seq_id),
                      validation ? "data.validation" : "data.train");
}

const struct corpus_report *corpus_report(const struct corpus *k, enum split split)
{
    return &k->header->reports[split];
}

int corpus_sequence_length(const struct corpus *k)
{
    return (int)k->header->sequence_length;
}
