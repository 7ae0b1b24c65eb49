/* The corpus of a job: documents read, tokenised, packed into sequences, and kept in one checksummed file that all
 * ranks of a host map. Packing is a function of files, tokenizer, template, sequence_length and pack_seed alone; never
 * of seed, epoch or ranks (SEMANTICS, From text to sequences). */
#ifndef RETORT_DATA_CORPUS_H
#define RETORT_DATA_CORPUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "data/document.h"
#include "fmt/tokenizer.h"

enum split { SPLIT_TRAIN, SPLIT_VALIDATION, SPLIT_COUNT };

/* seq_id = split << 56 | index */
static inline uint64_t sequence_id(enum split split, int64_t index)
{
    return (uint64_t)split << 56 | (uint64_t)index;
}

static inline uint64_t sequence_split(uint64_t id) /* of a damaged file: not below SPLIT_COUNT, maybe */
{
    return id >> 56;
}

static inline int64_t sequence_index(uint64_t id)
{
    return (int64_t)(id & ~(UINT64_MAX << 56));
}

struct corpus_spec {
    const struct data_file *files[SPLIT_COUNT];
    int file_count[SPLIT_COUNT]; /* 0: the split has no sequences */
    int sequence_length;
    uint64_t pack_seed;
    bool append_eos;
    const char *template_name; /* NULL or "auto": by hash */
    const char *system_prompt; /* NULL: the template's own */
};

/* At most sequence_length packed tokens, borrowed from the map. */
struct sequence {
    uint64_t id;         /* sequence_id() */
    uint64_t input_hash; /* XXH3-64 over ids, document starts, supervised bytes, label shift (SEMANTICS, Labels) */
    int tokens, documents, labels;
    const uint32_t *ids;             /* [tokens] */
    const int32_t *starts;           /* [documents + 1]; starts[0] = 0, starts[documents] = tokens */
    const unsigned char *supervised; /* [tokens]: 1 if ids[i] is a target; 0 at every document's first token */
};

/* What input_hash must be: over ids[tokens], starts[documents] (without the closing one), supervised[tokens], shift 1.
 */
uint64_t sequence_hash(const struct sequence *s);

/* What packing left out or repaired, for one warning each. */
struct corpus_report {
    int64_t documents;          /* packed */
    int64_t tokens, supervised; /* of all sequences */
    int64_t documents_cut;      /* completion and chat longer than a sequence: cut at the right */
    int64_t documents_dropped;  /* without a supervised token */
    int64_t bytes_replaced;     /* not UTF-8 */
};

struct corpus;

/* The key of the file: hash of everything that packing depends on (file contents included). */
int corpus_key(const struct corpus_spec *spec, const struct tokenizer *t, uint64_t *key, struct err *e);

/* Builds the file at path (through a temporary name). Errors name file and line: a line that is not JSON, a missing
 * field, an empty split, a split without a supervised token. */
int corpus_build(const char *path, uint64_t key, const struct corpus_spec *spec, const struct tokenizer *t,
                 struct err *e);

/* Maps and checks a built file: magic, version, sizes, key (another key: ERR_INPUT), checksum. Fuzzed. */
int corpus_open(struct corpus **out, const char *path, uint64_t key, struct err *e);
/* The same over bytes that the caller keeps, 8-byte aligned; name stands in errors. */
int corpus_parse(struct corpus **out, const void *bytes, size_t size, const char *name, uint64_t key, struct err *e);
void corpus_close(struct corpus *c);

int64_t corpus_count(const struct corpus *c, enum split split); /* sequences */
struct sequence corpus_sequence(const struct corpus *c, enum split split, int64_t index);
/* The sequence with this seq_id, which the corpus must have. */
struct sequence corpus_find(const struct corpus *c, uint64_t seq_id);
/* For people: "sequence 12 of data.train". mem_free it. */
char *sequence_name(uint64_t seq_id);
const struct corpus_report *corpus_report(const struct corpus *c, enum split split);
int corpus_sequence_length(const struct corpus *c);

#endif
