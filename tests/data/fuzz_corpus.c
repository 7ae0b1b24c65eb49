/* The reader of packed corpora on bytes that someone made up. The checksums are put right first: they keep damage out,
 * and would keep every mutation from the checks behind them. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "data/corpus_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { KEY = 7 };

static void seal(unsigned char *bytes, size_t size)
{
    struct corpus_header h;
    if (size < sizeof h)
        return;
    memcpy(&h, bytes, sizeof h);
    memcpy(h.magic, CORPUS_MAGIC, sizeof h.magic);
    h.version = CORPUS_VERSION;
    h.key = KEY;
    h.file_size = size;
    h.body_hash = hash64(bytes + sizeof h, size - sizeof h);
    h.header_crc = corpus_header_crc(&h);
    memcpy(bytes, &h, sizeof h);
}

/* The index stands at the end; a mutation that moves it would fail at the first check, so half of the inputs get it
 * right. */
static void point_to_index(unsigned char *bytes, size_t size)
{
    struct corpus_header h;
    if (size < sizeof h || size % 2)
        return;
    memcpy(&h, bytes, sizeof h);
    uint64_t count = h.sequences[SPLIT_TRAIN] + h.sequences[SPLIT_VALIDATION];
    if (count <= (size - sizeof h) / sizeof(uint64_t))
        h.index_offset = size - count * sizeof(uint64_t);
    memcpy(bytes, &h, sizeof h);
}

static uint64_t read_everything(const struct corpus *k)
{
    uint64_t sum = 0;
    for (int split = 0; split < SPLIT_COUNT; split++)
        for (int64_t i = 0; i < corpus_count(k, split); i++) {
            struct sequence s = corpus_sequence(k, split, i);
            ASSERT(s.tokens <= corpus_sequence_length(k));
            for (int d = 0; d < s.documents; d++)
                ASSERT(!s.supervised[s.starts[d]]);
            for (int t = 0; t < s.tokens; t++)
                sum += s.ids[t] + s.supervised[t];
        }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct err e = {0};
    struct corpus *k = NULL;
    unsigned char *copy = mem_alloc(size);
    memcpy(copy, bytes, size);
    point_to_index(copy, size);
    seal(copy, size);
    if (corpus_parse(&k, copy, size, "fuzz", KEY, &e) == 0) {
        volatile uint64_t sum = read_everything(k);
        (void)sum;
    } else {
        ASSERT(e.code == ERR_INPUT && e.text[0]);
    }
    corpus_close(k);
    mem_free(copy);
    return 0;
}
