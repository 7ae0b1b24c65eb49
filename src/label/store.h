/* A label store: a directory of records that any number of jobs fill and read, one after another or at once.
 *
 *     store.json                           what the labels are, with a checksum of its own; never changed once it is
 * there writer-GGGGGG.json                   a job that writes has taken the number G: its host, process and name
 *     labels-GGGGGG-RRRR-NNNN.open         the N-th file of its replica R, being written or left behind (store_file.h)
 *     labels-GGGGGG-RRRR-NNNN.safetensors  the same, sealed
 *
 * What is there is found by reading the files, never by counting. Nobody writes into another job's file. A record may
 * be there twice (two jobs computed it): either will do, since both are the same function of the same input. */
#ifndef RETORT_LABEL_STORE_H
#define RETORT_LABEL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/strbuf.h"
#include "data/corpus.h"
#include "label/label.h"

/* --- what the labels are --- */

struct store_description {
    struct label_spec label;        /* another seed is accepted */
    uint64_t tokenizer;             /* tokenizer_hash */
    uint64_t corpus;                /* corpus_key: files, tokenizer and all that packing depends on */
    int64_t sequences[SPLIT_COUNT]; /* of that corpus */
    int sequence_length;
    uint32_t vocabulary;      /* ids of labels are below it */
    uint64_t vocabulary_mask; /* XXH3-64 of the mask of ids that take part */
    /* Where they come from. Jobs that write must agree in teacher, adapter and precision; who reads need not. */
    uint64_t teacher, adapter; /* fingerprints (0: none) */
    char teacher_name[256], adapter_name[256], precision[16], version[32];
};

/* Local. Makes the directory and its store.json if they are not there (of several jobs that come at once, one makes
 * it; texts that are not UTF-8 are repaired), else checks what is there against d as a writer: ERR_INPUT, naming what
 * differs and both values, if the labels would not be the same. ERR_ENVIRONMENT: it cannot be written. */
int store_create(const char *directory, const struct store_description *d, struct err *e);

/* Local. ERR_INPUT: there is none, its checksum is wrong, or it is of another version. */
int store_describe(const char *directory, struct store_description *out, struct err *e);

/* Appends the text of its store.json. */
void store_print(const struct store_description *d, struct strbuf *out);

/* Local. Whether labels of a store may be used where `wanted` are asked for: ERR_INPUT, naming the store, what differs
 * and both values. teacher: compares teacher, adapter and precision, too. */
int store_check(const char *directory, const struct store_description *there, const struct store_description *wanted,
                bool teacher, struct err *e);

/* Bytes of records at which a job seals a file and begins the next, and up to which compact merges. */
#define STORE_FILE_MOST (UINT64_C(1) << 30)

/* --- writing; each leader of a teacher replica by itself --- */

/* Local, by one rank of a job. Takes the next free number (two jobs never get the same one). owner: one line for the
 * eyes of others: "host NAME, process N, job NAME". */
int store_join(const char *directory, const char *owner, int *generation, struct err *e);

/* Appends to files of its own, sealing each before it grows beyond `most` bytes of records, and going on with the next.
 * The first is made at the first append: a writer without a record leaves no file. After a write that failed
 * (ERR_ENVIRONMENT) every call fails alike, and all that is left is to free it. */
struct store_append;
int store_append_new(struct store_append **out, const char *directory, int generation, int replica, const char *owner,
                     uint64_t most, struct err *e);
int store_append(struct store_append *a, const void *record, size_t size, struct err *e);
/* All records appended so far stay, whatever happens to process and machine. */
int store_append_sync(struct store_append *a, struct err *e);
int store_append_seal(struct store_append *a, struct err *e);
void store_append_free(struct store_append *a); /* what is not sealed stays as it is, and counts */

/* --- reading --- */

struct store;

/* Local. Maps every file of the directory. Files that others seal or merge meanwhile are looked for again. Open files
 * are read as far as their records are whole; a sealed file that is damaged is ERR_INPUT. */
int store_open(struct store **out, const char *directory, struct err *e);
void store_close(struct store *s);

const struct store_description *store_description(const struct store *s);
int64_t store_count(const struct store *s); /* different sequences */
/* The record of a sequence, borrowed from the map; its checksum, seq_id and input hash are record_decode's to check.
 * NULL: it is not there. */
const void *store_find(const struct store *s, uint64_t seq_id, size_t *size);
/* Record i of store_count(), in the order of seq_id. */
struct store_record {
    uint64_t seq_id;
    const void *bytes;
    size_t size;
    int part;
};
struct store_record store_at(const struct store *s, int64_t i);
int64_t store_count_of(const struct store *s, enum split split); /* different sequences of a split */
/* Tells the system that this record will be wanted soon. */
void store_prefetch(const struct store *s, uint64_t seq_id);

/* One file, for lists and warnings. */
struct store_part {
    const char *name, *owner;
    bool sealed;
    int64_t records;
    uint64_t bytes;           /* of its records */
    uint64_t rest;            /* bytes of an open one that belong to no whole record */
    double seconds_unchanged; /* since it was last written */
};
int store_parts(const struct store *s);
struct store_part store_part(const struct store *s, int i);

/* --- looking after a store --- */

/* Reads everything: every file's hash, every record's checksum, and that it is of the store's kind and corpus; deep:
 * decodes every record as well. Stops at the first fault: ERR_INPUT, naming the file. Bytes of an open
 * file that belong to no whole record are no fault. */
int store_verify(const struct store *s, bool deep, struct err *e);

/* Merges small files (below half of `most`), files with records that are there twice, and those left open by jobs that
 * have ended, into sealed ones of up to `most` bytes, each record once, and removes what it has merged. Files that
 * changed in the last idle_seconds are left alone, as a job may be writing them; those that a living process is known
 * to write, too. Killed at any moment, it loses nothing. said: what it did, in lines. */
int store_compact(const char *directory, uint64_t most, double idle_seconds, const char *owner, struct strbuf *said,
                  struct err *e);

/* One .safetensors file of plain arrays over all records, in the order of seq_id, that numpy reads without our code; it
 * must not be there yet:
 *
 *     seq_id, input_hash U64 [records]    label_offset U64 [records + 1]: labels of a record
 *     entry_offset U64 [labels + 1]       ids U32 [entries]    p F32 [entries]
 *     tail, entropy F32 [labels]          hidden F32 [labels, width]: of hidden labels, which have no entries */
int store_export(const struct store *s, const char *path, struct err *e);

#endif
