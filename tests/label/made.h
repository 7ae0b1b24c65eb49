/* Records made up from random numbers, for the tests of the codec and as seeds of its fuzzer: labels with an empty
 * head, without a tail, with one entry and with hundreds, ids up to 2^18. */
#ifndef RETORT_TESTS_LABEL_MADE_H
#define RETORT_TESTS_LABEL_MADE_H

#include "label/record.h"

enum { MADE_VOCABULARY = 1 << 18, MADE_LABELS = 12, MADE_ENTRIES = 4096, MADE_WIDTH = 16 };
#define MADE_SEQ_ID UINT64_C(0x0100000000000007)
#define MADE_INPUT_HASH UINT64_C(0x0123456789abcdef)

struct made {
    struct label_spec spec;
    int labels;
    struct label_entries entries[MADE_LABELS]; /* pointers into the arrays below */
    uint32_t head_ids[MADE_ENTRIES], tail_ids[MADE_ENTRIES];
    float head_p[MADE_ENTRIES];
    float states[MADE_LABELS * MADE_WIDTH]; /* of hidden labels, which have no entries */
};

/* The codec's formats: kinds sampled, random, top_k with values u8, f16, f32, then hidden with f16, f32. */
enum { MADE_FORMATS = 11, MADE_HIDDEN = 9 };
struct label_spec made_spec(int format);

/* The same labels for the same spec and seed. */
void made_fill(struct made *m, const struct label_spec *spec, uint64_t seed);

/* Their record, mem_alloc'ed; the second one of any sequence. */
void *made_record(const struct made *m, size_t *size);
void *made_record_of(const struct made *m, uint64_t seq_id, uint64_t input_hash, size_t *size);

#endif
