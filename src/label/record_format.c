#include "label/record_format.h"

#include <math.h>
#include <string.h>

#include "base/cursor.h"
#include "base/hash.h"
#include "label/record.h"

uint16_t record_tail_quantise(double mass)
{
    /* 1 .. 65535 parts become 0 .. 65534, so that a whole tail is exactly 1; what rounds to no part is no tail */
    const long parts = lround(fmin(mass, 1) * 65535);
    return parts > 0 ? (uint16_t)(parts - 1) : RECORD_NO_TAIL;
}

double record_tail_value(uint16_t q)
{
    return q == RECORD_NO_TAIL ? 0 : (q + 1) / 65535.0;
}

int64_t record_tail_draws(uint16_t q, double tau)
{
    return (int64_t)ceil(record_tail_value(q) / tau);
}

static uint32_t checksum(const unsigned char header[RECORD_HEADER_BYTES], const void *body, size_t size)
{
    static const unsigned char no_crc[4];
    uint32_t crc = crc32c(0, header, RECORD_CRC_OFFSET);
    crc = crc32c(crc, no_crc, sizeof no_crc);
    return crc32c(crc, body, size);
}

static unsigned char *put(unsigned char *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *at++ = (unsigned char)(value >> 8 * i);
    return at;
}

void record_header_write(unsigned char bytes[RECORD_HEADER_BYTES], const struct record_header *h, const void *body)
{
    uint32_t temperature;
    memcpy(&temperature, &h->temperature, sizeof temperature);
    memcpy(bytes, RECORD_MAGIC, 4);
    unsigned char *at = put(bytes + 4, RECORD_VERSION, 4); /* flags 0 */
    at = put(at, h->seq_id, 8);
    at = put(at, h->input_hash, 8);
    at = put(at, h->tokens, 4);
    at = put(at, h->labels, 4);
    at = put(at, h->head_entries, 8);
    at = put(at, h->tail_ids, 8);
    at = put(at, h->raw_size, 8);
    at = put(at, h->packed_size, 8);
    at = put(at, h->kind, 1);
    at = put(at, h->values, 1);
    at = put(at, RECORD_ID_BYTES, 2);
    at = put(at, temperature, 4);
    at = put(at, h->parameter, 8);
    put(at, h->seed, 8);
    record_header_seal(bytes, body, h->packed_size);
}

void record_header_seal(unsigned char bytes[RECORD_HEADER_BYTES], const void *body, size_t size)
{
    put(bytes + RECORD_CRC_OFFSET, checksum(bytes, body, size), 4);
}

static int check_frame(const struct record_header *h, struct cursor *c, const unsigned char *bytes, size_t size,
                       bool check_crc, struct err *e)
{
    const unsigned long long id = h->seq_id;
    const uint32_t crc = cursor_u32(c);
    if (cursor_left(c) != h->packed_size)
        return err_set(e, ERR_INPUT, "label record of sequence %#llx: %zu bytes, its header says %llu; label it again",
                       id, size, (unsigned long long)h->packed_size + RECORD_HEADER_BYTES);
    if (check_crc && checksum(bytes, bytes + RECORD_HEADER_BYTES, h->packed_size) != crc)
        return err_set(e, ERR_INPUT, "label record of sequence %#llx is damaged (checksum); label it again", id);
    return 0;
}

static bool fields_are_possible(const struct record_header *h, unsigned id_bytes, unsigned zero)
{
    const struct label_spec s = record_spec(h);
    const bool parameter = h->kind == LABEL_SAMPLED ? s.threshold > 0 && s.threshold <= 1 : h->parameter > 0;
    const bool hidden = h->kind != LABEL_HIDDEN || (h->values != VALUES_U8 && h->parameter <= INT32_MAX);
    return h->kind <= LABEL_HIDDEN && hidden && h->values <= VALUES_F32 && id_bytes == RECORD_ID_BYTES && zero == 0 &&
           isfinite(h->temperature) && h->temperature > 0 && parameter && h->labels <= h->tokens &&
           h->tokens <= INT32_MAX;
}

int record_header_read(struct record_header *h, const void *bytes, size_t size, bool crc, struct err *e)
{
    if (size < RECORD_HEADER_BYTES)
        return err_set(e, ERR_INPUT, "label record: %zu bytes, the header alone has %d; label the sequence again", size,
                       RECORD_HEADER_BYTES);
    struct cursor c;
    cursor_init(&c, bytes, size);
    if (memcmp(cursor_bytes(&c, 4), RECORD_MAGIC, 4) != 0)
        return err_set(e, ERR_INPUT, "label record: does not begin with \"%s\"; it is no record of labels",
                       RECORD_MAGIC);
    const unsigned version = cursor_u16(&c), flags = cursor_u16(&c);
    if (version != RECORD_VERSION || flags != 0)
        return err_set(e, ERR_INPUT,
                       "label record: version %u with flags %#x, this retort reads version %d; label again", version,
                       flags, RECORD_VERSION);
    struct record_header r = {.seq_id = cursor_u64(&c), .input_hash = cursor_u64(&c)};
    r.tokens = cursor_u32(&c);
    r.labels = cursor_u32(&c);
    r.head_entries = cursor_u64(&c);
    r.tail_ids = cursor_u64(&c);
    r.raw_size = cursor_u64(&c);
    r.packed_size = cursor_u64(&c);
    r.kind = cursor_u8(&c);
    r.values = cursor_u8(&c);
    const unsigned id_bytes = cursor_u8(&c), zero = cursor_u8(&c);
    r.temperature = cursor_f32(&c);
    r.parameter = cursor_u64(&c);
    r.seed = cursor_u64(&c);
    if (check_frame(&r, &c, bytes, size, crc, e))
        return -1;
    if (!fields_are_possible(&r, id_bytes, zero))
        return err_set(e, ERR_INPUT,
                       "label record of sequence %#llx: its header holds impossible values; label it again",
                       (unsigned long long)r.seq_id);
    *h = r;
    return 0;
}

bool record_columns(struct column_shape shape[COLUMNS], const struct record_header *h, uint64_t *raw)
{
    static const int value_width[] = {[VALUES_U8] = 1, [VALUES_F16] = 2, [VALUES_F32] = 4};
    const bool exact = h->values == VALUES_F32, hidden = h->kind == LABEL_HIDDEN;
    const bool head = h->kind != LABEL_RANDOM && !hidden;
    shape[COLUMN_HEAD_COUNT] = (struct column_shape){head ? 4 : 0, h->labels};
    shape[COLUMN_TAIL_MASS] = (struct column_shape){!head ? 0 : exact && h->kind == LABEL_TOP_K ? 4 : 2, h->labels};
    shape[COLUMN_HEAD_ID] = (struct column_shape){hidden ? 0 : RECORD_ID_BYTES, h->head_entries};
    shape[COLUMN_HEAD_VALUE] = (struct column_shape){value_width[h->values], h->head_entries};
    shape[COLUMN_TAIL_ID] = (struct column_shape){hidden ? 0 : RECORD_ID_BYTES, h->tail_ids};
    shape[COLUMN_ENTROPY] = (struct column_shape){hidden ? 0 : exact ? 4 : 2, h->labels};
    *raw = 0;
    for (int i = 0; i < COLUMNS; i++) {
        uint64_t bytes;
        if (__builtin_mul_overflow(shape[i].count, (uint64_t)shape[i].width, &bytes) ||
            __builtin_add_overflow(*raw, bytes, raw))
            return false;
    }
    return true;
}

uint64_t record_parameter(const struct label_spec *spec)
{
    uint64_t bits = 0;
    if (spec->kind == LABEL_SAMPLED)
        memcpy(&bits, &spec->threshold, sizeof bits);
    else
        bits = (uint64_t)(spec->kind == LABEL_TOP_K    ? spec->k
                          : spec->kind == LABEL_RANDOM ? spec->draws
                                                       : spec->hidden);
    return bits;
}

struct label_spec record_spec(const struct record_header *h)
{
    struct label_spec s = {.kind = h->kind, .values = h->values, .temperature = h->temperature, .seed = h->seed};
    if (h->kind == LABEL_SAMPLED)
        memcpy(&s.threshold, &h->parameter, sizeof s.threshold);
    else if (h->kind == LABEL_TOP_K)
        s.k = (int64_t)h->parameter;
    else if (h->kind == LABEL_RANDOM)
        s.draws = (int64_t)h->parameter;
    else
        s.hidden = (int64_t)h->parameter;
    return s;
}

void record_levels(double level[RECORD_LEVELS], const struct label_spec *spec)
{
    /* no share of a sampled head is below tau; top_k has no such bound, and rounds what is below this one to 0 or to it
     */
    const double lowest = spec->kind == LABEL_SAMPLED ? spec->threshold : 0x1p-20;
    level[0] = 0;
    for (int c = 1; c < RECORD_LEVELS; c++)
        level[c] = pow(lowest, (RECORD_LEVELS - 1 - c) / (double)(RECORD_LEVELS - 2));
}
