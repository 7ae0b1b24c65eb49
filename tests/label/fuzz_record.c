/* The record decoder over any bytes. A crc and a zstd frame would keep all mutations out of what lies behind them, so
 * every input is tried three times: as it is; with its sizes and crc put right; and with the bytes behind the header as
 * a body that is still to be compressed. What decodes must be a set of labels that nobody who uses one can trip over.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/mem.h"
#include "label/record_format.h"
#include "made.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "decoded, but %s\n", what);
    abort();
}

static void check_label(const struct label_set *s, int i)
{
    if (s->hidden) {
        for (int64_t k = 0; k < s->width; k++)
            check(isfinite(s->hidden[i * s->width + k]), "a state is not finite");
        return;
    }
    double sum = s->tail[i];
    check(s->first[i] <= s->first[i + 1], "its labels are not in order");
    check(isfinite(s->entropy[i]) && s->entropy[i] >= 0, "an entropy is none");
    for (int64_t j = s->first[i]; j < s->first[i + 1]; j++) {
        check(s->ids[j] < MADE_VOCABULARY, "an id is beyond the vocabulary");
        check(s->p[j] >= 0 && s->p[j] <= 1.001f, "a p is no probability");
        sum += s->p[j];
    }
    check(fabs(sum - 1) < 2e-3, "a label does not sum to 1");
}

static void decode(const unsigned char *bytes, size_t size)
{
    const int format = size > 65 ? bytes[64] * 3 + bytes[65] - (bytes[64] == LABEL_HIDDEN) : 0;
    const struct label_spec spec = made_spec(format < MADE_FORMATS ? format : 0);
    struct label_set set;
    struct record_info info;
    struct err e = {0};
    record_info(bytes, size, &info, &e);
    err_clear(&e);
    if (record_decode(bytes, size, &spec, MADE_SEQ_ID, MADE_INPUT_HASH, MADE_VOCABULARY, &set, &e))
        return;
    for (int i = 0; i < set.labels; i++)
        check_label(&set, i);
    check(set.first[0] == 0, "the first label does not begin at 0");
    label_set_release(&set);
}

/* The header's fields as they stand, whatever they are, with sizes and crc of this body. */
static void decode_with_body(const unsigned char *header, const void *body, size_t size, uint64_t raw_size)
{
    unsigned char *bytes = mem_alloc(RECORD_HEADER_BYTES + size), fresh[RECORD_HEADER_BYTES];
    const struct record_header sizes = {.raw_size = raw_size, .packed_size = size};
    memcpy(bytes, header, RECORD_HEADER_BYTES);
    memcpy(bytes + RECORD_HEADER_BYTES, body, size);
    record_header_write(fresh, &sizes, body);
    memcpy(bytes + 48, fresh + 48, 16);
    record_header_seal(bytes, body, size);
    decode(bytes, RECORD_HEADER_BYTES + size);
    mem_free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    decode(bytes, size);
    if (size < RECORD_HEADER_BYTES || size > 1 << 20)
        return 0;
    const unsigned char *body = bytes + RECORD_HEADER_BYTES;
    const size_t n = size - RECORD_HEADER_BYTES, bound = ZSTD_compressBound(n);
    const unsigned long long claimed = ZSTD_getFrameContentSize(body, n);
    decode_with_body(bytes, body, n, claimed);
    void *packed = mem_alloc(bound);
    decode_with_body(bytes, packed, ZSTD_compress(packed, bound, body, n, 1), n);
    mem_free(packed);
    return 0;
}
