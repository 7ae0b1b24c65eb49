/* What the printers of `retort inspect` share. Private to src/job. */
#ifndef RETORT_JOB_INSPECT_INTERNAL_H
#define RETORT_JOB_INSPECT_INTERNAL_H

#include "job/inspect.h"

struct inspection {
    const char *path;
    bool json;
    const uint64_t *seq_id; /* of the one record that is asked for; NULL: none is */
    struct strbuf *out;
};

/* "{"kind": ..., "path": ..." and "}", or a line with both and nothing. */
void inspect_begin(const struct inspection *i, const char *kind);
void inspect_end(const struct inspection *i);
/* , "key": "text" or null */
void inspect_text(struct strbuf *out, const char *key, const char *text);

/* inspect_labels.c */
int inspect_record(const struct inspection *i, const void *bytes, size_t size, struct err *e);
int inspect_store(const struct inspection *i, struct err *e);      /* the directory */
int inspect_store_json(const struct inspection *i, struct err *e); /* its store.json */
int inspect_store_file(const struct inspection *i, struct err *e); /* sealed or open */

#endif
