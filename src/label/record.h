/* The record codec: label entries to bytes and back. Decoding is what local, streamed and stored labels all go through.
 *
 * A record is a header and a body, little-endian:
 *
 *      0  char[4] "RTLR"                  40  u64 tail ids of all labels
 *      4  u16 version, 1                  48  u64 body bytes before compression
 *      6  u16 flags, 0                    56  u64 body bytes as they stand in the record
 *      8  u64 seq_id                      64  u8 kind, u8 values, u8 bytes of an id (3), u8 0
 *     16  u64 input_hash                  68  f32 temperature
 *     24  u32 tokens of the sequence      72  f64 tau (sampled), u64 k (top_k), N (random) or width (hidden)
 *     28  u32 labels                      80  u64 labels.seed
 *     32  u64 head entries of all labels  88  u32 crc32c of the header with 0 here, then the body
 *     92  body: one zstd frame
 *
 * The body is columns, one behind the other; a column of w-byte numbers is w planes: every lowest byte, then every next
 * one.
 *
 *     head count  u32    one per label; not in `random`
 *     tail mass   u16    one per label (record_tail_quantise); f32 in top_k with values f32; not in `random`
 *     head id     u24    ascending in a label: the first as it is, then differences
 *     head value  u8     p / (mass of the head), 0 or one of 255 levels on a log scale up to 1, rounded stochastically;
 *                 f16    2^15 p / (mass of the head); f32: p itself
 *     tail id     u24    ascending in a label, an id twice if it was drawn twice; differences as above
 *     entropy     f16    one per label; f32 with values f32
 *
 * A record of `hidden` has one column: the states' elements in the order of labels, f16 or f32, as head values. Its
 * count of head entries is labels * width.
 *
 * u8 and f16 values, and every value of `sampled`, are scaled to 1 - tail mass when they are read. */
#ifndef RETORT_LABEL_RECORD_H
#define RETORT_LABEL_RECORD_H

#include <stdint.h>

#include "base/err.h"
#include "label/label.h"

/* The entries of one label before the codec, as the encoder made them: head ids ascending with exact p, tail ids
 * ascending (drawn; a repeat means drawn twice). */
struct label_entries {
    int32_t position; /* in the sequence: key of random numbers */
    int64_t head_count, tail_count;
    const uint32_t *head_ids;
    const float *head_p;
    const uint32_t *tail_ids;
    float tail_mass; /* exact mass outside the head */
    uint16_t tail_q; /* tail_mass as u16, RECORD_NO_TAIL: none; sampled draws depend on it (record_tail_quantise) */
    float entropy;   /* NaN (and no entries): the logits were not finite; such a record is made, but not decoded */
};

enum { RECORD_NO_TAIL = 65535 };

/* tail mass -> u16 -> the f64 that both sides compute with, a multiple of 1/65535; M = ceil(r_q / tau) ids are drawn.
 */
uint16_t record_tail_quantise(double mass);
double record_tail_value(uint16_t q);
int64_t record_tail_draws(uint16_t q, double tau);

/* A record under construction. Bytes are a function of the spec, begin's arguments and the entries alone. */
struct record_writer;
struct record_writer *record_writer_new(const struct label_spec *spec);
void record_writer_free(struct record_writer *w);
void record_writer_begin(struct record_writer *w, uint64_t seq_id, uint64_t input_hash, int tokens);
void record_writer_add(struct record_writer *w, const struct label_entries *entries); /* in the order of positions */
void record_writer_add_hidden(struct record_writer *w, const float *state);           /* the same, of kind hidden */
/* The finished bytes, mem_alloc'ed. u8 values are rounded stochastically from the record's own random numbers, keyed by
 * (labels.seed, input_hash, position). */
void *record_writer_finish(struct record_writer *w, size_t *size);

/* Decodes and checks everything: magic, version, sizes, crc, the spec (kind, values, temperature, tau or k or N;
 * another labels.seed is accepted), seq_id and input_hash (ERR_INPUT names what differs). Every id is below vocabulary,
 * every label sums to 1. Fuzzed: any bytes give an error or a set. */
int record_decode(const void *bytes, size_t size, const struct label_spec *spec, uint64_t seq_id, uint64_t input_hash,
                  uint32_t vocabulary, struct label_set *out, struct err *e);

/* The same for who reads many: what decoding needs is kept from one record to the next, and set, which is zeroed or has
 * been read before, keeps its memory where that suffices. After an error it is empty. */
struct record_reader;
struct record_reader *record_reader_new(void);
void record_reader_free(struct record_reader *r);
int record_reader_decode(struct record_reader *r, const void *bytes, size_t size, const struct label_spec *spec,
                         uint64_t seq_id, uint64_t input_hash, uint32_t vocabulary, struct label_set *set,
                         struct err *e);

/* The identity of a record without decoding its body (inspect); sizes and crc are checked. */
struct record_info {
    uint64_t seq_id, input_hash, raw_size, packed_size;
    uint32_t tokens, labels;
    struct label_spec spec;
};
int record_info(const void *bytes, size_t size, struct record_info *info, struct err *e);
/* The same from the header alone, for counts over many records: the checksum, which covers the body, is not checked. */
int record_glance(const void *bytes, size_t size, struct record_info *info, struct err *e);

#endif
