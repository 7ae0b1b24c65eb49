/* Packing: documents of one split, put one after the other into sequences of at most sequence_length tokens (SEMANTICS,
 * From text to sequences). A sequence goes to the writer as soon as the next document does not fit. */
#ifndef RETORT_DATA_PACK_H
#define RETORT_DATA_PACK_H

#include "data/corpus_file.h"

/* All documents of a split, in the order of the files. */
struct document_pool {
    uint32_t *ids;             /* [tokens] */
    unsigned char *supervised; /* [tokens] */
    int64_t *begins;           /* [documents + 1] once there is one */
    bool *whole;               /* [documents] */
    int64_t tokens, documents;
    int64_t token_room, document_room;
};
void document_pool_release(struct document_pool *p);
void document_pool_add(struct document_pool *p, const struct document *d);

/* Packs the pool in the order that pack_seed gives it. Adds to report, except bytes_replaced. */
int pack_documents(struct corpus_writer *w, enum split split, const struct document_pool *pool, int sequence_length,
                   uint64_t pack_seed, struct corpus_report *report, struct err *e);

#endif
