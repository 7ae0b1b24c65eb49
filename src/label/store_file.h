/* One file of a label store: records that one writer appended, and when it has enough of them a legal .safetensors
 * file.
 *
 *      0      u64 65528, then the header in JSON, padded with spaces
 *      65536  records (record.h), in any order, each padded with zeros to a multiple of 8 bytes
 *             tensor "records", U8
 *             tensor "index", U64 [records, 3]: seq_id, offset of the record from the beginning of the file, bytes of
 * it tensor "hash", U64 [1]: XXH3-64 of everything before it
 *
 * While it is written the file is called NAME.open, and nothing but its records counts: whoever reads it takes every
 * record that ends and matches its checksum, so a killed writer loses nothing that it had synced. Sealing writes index
 * and hash, then the header, then gives the file its name NAME.safetensors: a file of that name is whole or damaged,
 * never unfinished. */
#ifndef RETORT_LABEL_STORE_FILE_H
#define RETORT_LABEL_STORE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The metadata "format" of a sealed file. */
#define STORE_FILE_FORMAT "retort labels 1"

/* --- writing; one process, one thread --- */

struct store_writer;

/* Makes DIRECTORY/NAME.open (for a moment .NAME), which must not exist under either name. owner: who writes (host,
 * process, job), for the eyes of others. */
int store_writer_new(struct store_writer **out, const char *directory, const char *name, const char *owner,
                     struct err *e);
/* The record is on its way to the disk; only a sync promises that it stays. ERR_ENVIRONMENT if the disk is full: what
 * was synced before is whole. */
int store_writer_append(struct store_writer *w, const void *record, size_t size, struct err *e);
int store_writer_sync(struct store_writer *w, struct err *e);
uint64_t store_writer_bytes(const struct store_writer *w); /* of records so far */
/* Ends the file (synced), or removes it if it holds no record. The writer is then good for nothing but to be freed. */
int store_writer_seal(struct store_writer *w, struct err *e);
void store_writer_free(struct store_writer *w); /* an unsealed file stays as it is */

/* Whether a living process is known to write this open file: a writer holds a lock on it for as long as it lives. False
 * where the file system has no locks. */
bool store_writer_lives(const char *path);

/* --- reading --- */

struct store_entry {
    uint64_t seq_id;
    uint64_t offset, size; /* of the record in the file */
};

struct store_file;

/* A sealed file: its header, sizes and index are checked. An open one: its records, all of them, as far as they are
 * whole. */
int store_file_open(struct store_file **out, const char *path, struct err *e);
/* The same over bytes that the caller keeps (fuzzing). sealed: which of the two they are. */
int store_file_parse(struct store_file **out, const void *bytes, size_t size, bool sealed, const char *name,
                     struct err *e);
void store_file_close(struct store_file *f);

bool store_file_sealed(const struct store_file *f);
const char *store_file_owner(const struct store_file *f); /* "" if it cannot be read */
int64_t store_file_count(const struct store_file *f);
struct store_entry store_file_entry(const struct store_file *f, int64_t i); /* in the order of writing */
/* Bytes of an open file that belong to no whole record: one that was being written, or damage. */
uint64_t store_file_rest(const struct store_file *f);
/* The record's bytes, borrowed from the file's map. Their own checksum is for whoever decodes them. */
const void *store_file_record(const struct store_file *f, int64_t i);

/* Reads everything: the hash, and every record's own checksum and identity against the index. */
int store_file_verify(const struct store_file *f, struct err *e);

#endif
