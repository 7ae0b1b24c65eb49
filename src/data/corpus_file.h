/* The file of a packed corpus: layout and writer. The reader is corpus_open() of corpus.h. Little-endian.
 *
 *   header      256 bytes, struct corpus_header
 *   sequences   one after the other, train before validation, each from a multiple of 8: struct corpus_block, then
 *               starts i32 [documents + 1], ids u32 [tokens], supervised u8 [tokens], zeros up to the next multiple of
 * 8 index       offset u64 of each sequence's block, in the same order
 *
 * body_hash is XXH3-64 of everything behind the header, header_crc the CRC-32C of the header with header_crc = 0. */
#ifndef RETORT_DATA_CORPUS_FILE_H
#define RETORT_DATA_CORPUS_FILE_H

#include <stdint.h>

#include "base/err.h"
#include "data/corpus.h"

#define CORPUS_MAGIC "RTCORPUS"
enum { CORPUS_VERSION = 1 };

struct corpus_header {
    char magic[8];
    uint32_t version, sequence_length;
    uint64_t key;
    uint64_t file_size, index_offset, body_hash;
    uint64_t sequences[SPLIT_COUNT];
    struct corpus_report reports[SPLIT_COUNT];
    unsigned char reserved[92]; /* zero */
    uint32_t header_crc;
};
_Static_assert(sizeof(struct corpus_header) == 256, "the header's layout is the file's");

struct corpus_block {
    uint64_t input_hash;
    uint32_t tokens, documents, labels, reserved;
};
_Static_assert(sizeof(struct corpus_block) == 24, "the block's layout is the file's");

uint32_t corpus_header_crc(const struct corpus_header *h);

struct corpus_writer;

/* Writes under a temporary name beside path. */
int corpus_writer_open(struct corpus_writer **out, const char *path, uint64_t key, int sequence_length, struct err *e);

/* The next sequence of its split (s->id names it); validation follows train. */
int corpus_writer_add(struct corpus_writer *w, const struct sequence *s, struct err *e);

/* Index, header, fsync, rename. w is gone afterwards, whatever the result. */
int corpus_writer_commit(struct corpus_writer *w, const struct corpus_report reports[SPLIT_COUNT], struct err *e);

/* Removes what was written. Takes NULL. */
void corpus_writer_abandon(struct corpus_writer *w);

#endif
