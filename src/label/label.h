/* Labels: what the teacher says of token positions, as encoded distributions.
 *
 * A label exists for position i exactly when supervised[i+1] is 1 and both stand in one document; it predicts ids[i+1].
 * The record is the unit: the encoded labels of one sequence, the same bytes on the stream, in the store and in one
 * process. FACTS: encodings and why; SEMANTICS: what each number means. */
#ifndef RETORT_LABEL_LABEL_H
#define RETORT_LABEL_LABEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum label_kind { LABEL_SAMPLED, LABEL_RANDOM, LABEL_TOP_K, LABEL_HIDDEN };
enum label_values { VALUES_U8, VALUES_F16, VALUES_F32 };

/* As the job calls them: "top_k", "u8". */
const char *label_kind_name(enum label_kind kind);
const char *label_values_name(enum label_values values);

struct label_spec {
    enum label_kind kind;
    enum label_values values;
    double threshold;   /* tau of sampled */
    int64_t k;          /* of top_k; at most the vocabulary */
    int64_t draws;      /* of random */
    int64_t hidden;     /* of hidden: elements of the teacher's state */
    double temperature; /* of the job: labels are drawn at it and valid at it alone; hidden ones are valid at any: 1 */
    uint64_t seed;      /* labels.seed */
};

/* A decoded record. Entries of label j are [first[j], first[j+1]) of ids and p; sum of p = 1 - tail[j]. An id may stand
 * twice (weights add). tail is the mass of the one extra class of top_k: all ids that are not listed; 0 otherwise. */
struct label_set {
    uint64_t seq_id, input_hash;
    enum label_kind kind;
    double temperature;
    int tokens, labels;
    const int64_t *first; /* [labels + 1] */
    const uint32_t *ids;
    const float *p;
    const float *tail;    /* [labels] */
    const float *entropy; /* [labels]: the teacher's exact entropy at the temperature, in nats */
    const float *hidden;  /* [labels, width]: the teacher's state after its final norm; then there are no entries */
    int64_t width;
    void *memory; /* owns the arrays above */
    size_t memory_size;
};
void label_set_release(struct label_set *s);

#endif
