/* What gguf.c (the container) and gguf_metadata.c (its typed keys) share. */
#ifndef RETORT_FMT_GGUF_INTERNAL_H
#define RETORT_FMT_GGUF_INTERNAL_H

#include "base/arena.h"
#include "base/cursor.h"
#include "base/file.h"
#include "fmt/gguf.h"
#include "fmt/tensor_index.h"

/* The format's own numbers. */
enum gguf_kind {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_KINDS
};

/* A key and where its value lies. A single value is an array of one, but for is_array. */
struct gguf_entry {
    const char *key; /* terminated, in the arena */
    enum gguf_kind kind;
    bool is_array;
    uint64_t count;
    const unsigned char *values; /* count numbers, or strings one after the other */
    const uint64_t *starts;      /* strings: where each begins, from values */
};

struct gguf {
    struct file_map map; /* zero if the bytes are the caller's */
    struct arena arena;
    const char *path;
    struct gguf_entry *entries; /* in file order */
    const struct gguf_entry **by_key;
    int entry_count;
    struct tensor *tensors; /* in file order */
    int tensor_count;
    struct tensor_index index;
};

/* Reads the key-value pairs that c stands at into g; c then stands behind them. */
int gguf_read_metadata(struct gguf *g, struct cursor *c, uint64_t count, struct err *e);

/* A name or key: length, then bytes; copied into the arena and terminated. NULL if cut or unfit to be printed. */
const char *gguf_read_name(struct gguf *g, struct cursor *c);

#endif
