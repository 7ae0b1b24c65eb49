/* What the writer and the reader of a store's file share (store_file.h describes it). Private to src/label. */
#ifndef RETORT_LABEL_STORE_FILE_FORMAT_H
#define RETORT_LABEL_STORE_FILE_FORMAT_H

#include "label/store_file.h"

#define STORE_OPEN ".open"
#define STORE_SEALED ".safetensors"
#define STORE_OWNER "owner"
#define STORE_RECORDS "records"
#define STORE_INDEX "index"
#define STORE_HASH "hash"

enum { STORE_HEADER_BYTES = 1 << 16, STORE_ALIGN = 8, STORE_INDEX_WIDTH = 3 };

static inline size_t store_padding(uint64_t size)
{
    return (size_t)(-size % STORE_ALIGN);
}

#endif
