/* The table of every key of a job: what parses, checks, prints and documents is this table and nothing else.
 *
 * A section (tables.c) is a list of fields; a field says where in struct job its value is, of which type it is
 * (types.c), its default as YAML, its bounds or choices, who reads it, and what this build does not do yet. */
#ifndef RETORT_CONF_FIELD_H
#define RETORT_CONF_FIELD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/strbuf.h"
#include "conf/job.h"
#include "conf/node.h"

struct field;

struct choice {
    const char *name; /* NULL ends a list */
    int value;        /* of the enum; not used by lists of words */
    bool unbuilt;     /* check warns, run refuses */
};

/* What a value needs beside its node: strings go to the arena, relative paths begin at directory. */
struct reading {
    struct arena *arena;
    const char *directory; /* of the job file; "" for --set and defaults: the current one */
    struct err *e;
};

/* A type of values. at points into struct job. */
struct field_type {
    size_t size;
    /* Sets *at, or returns -1 with the expected() of the field in the error. */
    int (*read)(const struct field *f, const struct node *n, const struct reading *r, void *at);
    /* One line of YAML that reads back as the same value. */
    void (*print)(const struct field *f, const void *at, struct strbuf *out);
    /* "an integer from 1 to 64": stands in errors and in the reference. */
    void (*expected)(const struct field *f, struct strbuf *out);
};

extern const struct field_type type_int, type_int64, type_float, type_bool, type_text, type_input, type_output,
    type_choice, type_size, type_pair, type_words, type_files, type_part;

/* Modes as a set. */
enum {
    IN_DISTILL = 1 << MODE_DISTILL,
    IN_PRECOMPUTE = 1 << MODE_PRECOMPUTE,
    IN_FINETUNE = 1 << MODE_FINETUNE,
    IN_EVALUATE = 1 << MODE_EVALUATE,
    IN_ALL = IN_DISTILL | IN_PRECOMPUTE | IN_FINETUNE | IN_EVALUATE
};

enum field_flag {
    FIELD_FREE = 1,     /* may differ at resume */
    FIELD_UNBUILT = 2,  /* this build does nothing but the default */
    FIELD_BELOW_MAX = 4 /* max itself is out of range */
};

struct field {
    const char *key; /* full: "train.optimizer.name" */
    const struct field_type *type;
    size_t offset;        /* in struct job */
    const char *fallback; /* the default as YAML, in the form that print gives it */
    const char *none;     /* the word for "no value" (0 or NULL in struct job): "auto", "null"; NULL: there is none */
    double min, max;      /* numbers, inclusive but for FIELD_BELOW_MAX */
    const struct choice *choices;
    const char *unit, *help;
    unsigned modes;    /* that read it */
    unsigned required; /* modes that cannot do without: a value other than the default */
    unsigned kinds;    /* bit set of enum job_encoding to which it belongs; 0: it does not depend on the kind */
    unsigned flags;
};

struct section {
    const char *name; /* "" for the keys at the top */
    const char *help;
    const struct field *fields;
    int count;
};

/* All sections, in the order of the job file. */
extern const struct section sections[];
extern const int section_count;

/* Every field, counted through all sections; NULL past the last one. */
const struct field *field_at(int i);
const struct field *field_find(const char *key);

/* True if keys stand below this one ("train", "train.optimizer", and "" for the root). */
bool field_is_group(const char *key);
bool key_is_below(const char *key, const char *group);

/* The known key or group that an unknown one probably means, or NULL: few letters differ, or the last word is the same.
 */
const char *field_nearest(const char *key, char buffer[NODE_KEY_LIMIT]);
/* The same among words; a list that ends with NULL name. */
const struct choice *choice_nearest(const struct choice *choices, const char *word);

/* Appends what stands directly below a group: "name, learning_rate, betas". */
void field_list_group(const char *group, struct strbuf *out);

void *field_value(const struct field *f, struct job *job);
void field_print(const struct field *f, const struct job *job, struct strbuf *out);
bool field_is_default(const struct field *f, const struct job *job);
/* The choice that the job made, or NULL if the field has no choices. */
const struct choice *field_choice(const struct field *f, const struct job *job);
/* False for a key of another encoding kind than the job's. */
bool field_applies(const struct field *f, const struct job *job);

/* The names of the modes of a set: "distill, finetune". */
void modes_list(unsigned modes, struct strbuf *out);

#endif
