/* The record codec: label entries to bytes and back. Byte planes inside one zstd frame behind a checked header
 * (FACTS, Record). Decoding is what local, streamed and stored labels all go through. */
#ifndef RETORT_LABEL_RECORD_H
#define RETORT_LABEL_RECORD_H

#include <stdint.h>

#include "base/err.h"
#include "label/label.h"

/* The entries of one label before the codec, as the encoder made them: head ids ascending with exact p, tail ids
 * ascending (drawn; a repeat means drawn twice). */
struct label_entries {
    int64_t head_count, tail_count;
    const uint32_t *head_ids;
    const float *head_p;
    const uint32_t *tail_ids;
    float tail_mass; /* exact mass outside the head */
    uint16_t tail_q; /* tail_mass as u16, RECORD_NO_TAIL: none; sampled draws depend on it (record_tail_quantise) */
    float entropy;
};

enum { RECORD_NO_TAIL = 65535 };

/* tail mass -> u16 -> the f64 that both sides compute with; M = ceil(r_q / tau) ids are drawn from the tail. */
uint16_t record_tail_quantise(double mass);
double record_tail_value(uint16_t q);
int64_t record_tail_draws(uint16_t q, double tau);

/* A record under construction. */
struct record_writer;
struct record_writer *record_writer_new(const struct label_spec *spec);
void record_writer_free(struct record_writer *w);
void record_writer_begin(struct record_writer *w, uint64_t seq_id, uint64_t input_hash, int tokens);
void record_writer_add(struct record_writer *w, const struct label_entries *entries); /* in the order of positions */
/* The finished bytes, mem_alloc'ed. u8 values are rounded stochastically from the record's own random numbers, keyed by
 * (labels.seed, input_hash, position). */
void *record_writer_finish(struct record_writer *w, size_t *size);

/* Decodes and checks everything: magic, version, sizes, crc, the spec (kind, values, temperature, tau or k or N), seq_id and
 * input_hash (ERR_INPUT names what differs). Every id is below vocabulary. Fuzzed: any bytes give an error or a set. */
int record_decode(const void *bytes, size_t size, const struct label_spec *spec, uint64_t seq_id, uint64_t input_hash,
                  uint32_t vocabulary, struct label_set *out, struct err *e);

/* The identity of a record without decoding it (inspect). */
struct record_info {
    uint64_t seq_id, input_hash, raw_size, packed_size;
    uint32_t tokens, labels;
    struct label_spec spec;
};
int record_info(const void *bytes, size_t size, struct record_info *info, struct err *e);

#endif
