/* What the parts of the label store share (store.h describes it). Private to src/label. */
#ifndef RETORT_LABEL_STORE_INTERNAL_H
#define RETORT_LABEL_STORE_INTERNAL_H

#include "label/store.h"
#include "label/store_file.h"

#define STORE_JSON "store.json"
#define STORE_LABELS "labels-"
#define STORE_WRITER "writer-"

/* --- store.json as text (store_json.c); fuzzed --- */

int store_parse(struct store_description *out, const char *text, size_t size, const char *path, struct err *e);

/* --- names in the directory (store_names.c) --- */

struct store_names {
    char **names; /* sorted */
    int count, room;
};
/* Those that begin with prefix. */
int store_names_read(struct store_names *n, const char *directory, const char *prefix, struct err *e);
void store_names_release(struct store_names *n);
bool store_names_equal(const struct store_names *a, const struct store_names *b);

/* --- an open store (store_read.c) --- */

struct store_place {
    uint64_t seq_id;
    int part;
    int64_t index; /* in the part's file */
};

struct store_open_part {
    char *name;
    struct store_file *file;
    double unchanged; /* seconds */
    bool written;     /* by a process that is known to live */
};

struct store {
    char *directory;
    struct store_description description;
    struct store_open_part *parts;
    int part_count;
    struct store_place *places; /* in the order of seq_id, each once */
    int64_t count;
};

/* The records of all parts that are chosen (NULL: of all), in the order of seq_id, then of parts. mem_free it. */
struct store_place *store_places(const struct store *s, const bool *chosen, int64_t *count);

#endif
