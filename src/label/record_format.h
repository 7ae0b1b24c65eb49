/* The layout of a record, shared by its writer and its reader (record.h describes it). Private to src/label. */
#ifndef RETORT_LABEL_RECORD_FORMAT_H
#define RETORT_LABEL_RECORD_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "label/label.h"

#define RECORD_MAGIC "RTLR"
enum {
    RECORD_VERSION = 1,
    RECORD_HEADER_BYTES = 92,
    RECORD_BODY_OFFSET = 56,
    RECORD_CRC_OFFSET = 88,
    RECORD_ID_BYTES = 3,
    RECORD_LEVELS = 256
};

/* f16 values are shares of the head times this: shares down to 2^-29 stay normal numbers. */
#define RECORD_F16_ONE 32768.0

struct record_header {
    uint64_t seq_id, input_hash;
    uint32_t tokens, labels;
    uint64_t head_entries, tail_ids;
    uint64_t raw_size, packed_size;
    enum label_kind kind;
    enum label_values values;
    float temperature;
    uint64_t parameter; /* bits of tau, k, N or width */
    uint64_t seed;
};

enum column {
    COLUMN_HEAD_COUNT,
    COLUMN_TAIL_MASS,
    COLUMN_HEAD_ID,
    COLUMN_HEAD_VALUE,
    COLUMN_TAIL_ID,
    COLUMN_ENTROPY,
    COLUMNS
};

/* A column in the body: count numbers of width bytes each; width 0: the kind has no such column. */
struct column_shape {
    int width;
    uint64_t count;
};

void record_header_write(unsigned char bytes[RECORD_HEADER_BYTES], const struct record_header *h, const void *body);

/* Puts the crc over header and body into the header; record_header_write does it, too. */
void record_header_seal(unsigned char bytes[RECORD_HEADER_BYTES], const void *body, size_t size);

/* Every check that needs no job: magic, version, sizes, crc (if asked for: it reads the body), ranges of fields. */
int record_header_read(struct record_header *h, const void *bytes, size_t size, bool crc, struct err *e);

/* The columns that follow from a header. False if their bytes do not fit into 64 bits; *raw is their sum. */
bool record_columns(struct column_shape shape[COLUMNS], const struct record_header *h, uint64_t *raw);

/* tau, k, N or width of a spec as the header holds it. */
uint64_t record_parameter(const struct label_spec *spec);
struct label_spec record_spec(const struct record_header *h);

/* The values that u8 codes stand for, ascending from level[0] = 0 to level[255] = 1. */
void record_levels(double level[RECORD_LEVELS], const struct label_spec *spec);

#endif
