/* What the encoder's tests share: logits, sharded encoding of them, and plain probabilities in double. Needs the world
 * of mpi_test.h. */
#ifndef RETORT_TESTS_LABEL_ENCODING_H
#define RETORT_TESTS_LABEL_ENCODING_H

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "label/encode.h"
#include "par/groups.h"

/* A teacher that says the same wherever it runs: logits of `rows` positions over V ids. */
struct task {
    int64_t rows, V;
    const float *z;          /* [rows, V] */
    const uint64_t *allowed; /* over [0, V); NULL: all */
    uint64_t input_hash;
    int first_position;
    int64_t chunk; /* rows at once */
};

struct bytes {
    void *data; /* mem_alloc'ed */
    size_t size;
};

static inline int bit(const uint64_t *set, int64_t j)
{
    return !set || (set[j / 64] >> j % 64 & 1);
}

/* This shard's part of a bit set; NULL stays NULL. */
static uint64_t *shard_of_set(const uint64_t *set, int64_t first, int64_t end)
{
    if (!set)
        return NULL;
    uint64_t *mine = mem_array((size_t)(end - first) / 64 + 1, sizeof *mine);
    for (int64_t j = first; j < end; j++)
        mine[(j - first) / 64] |= (uint64_t)bit(set, j) << (j - first) % 64;
    return mine;
}

/* Rows at .. at + rows - 1, this shard's columns, with some room between rows that must stay as it is. */
static void encode_chunk(struct encoder *n, const struct task *t, int64_t first, int64_t end, int64_t at, int64_t rows)
{
    const int64_t V = end - first, ld = V + 5;
    float *z = mem_array((size_t)(rows * ld), sizeof *z);
    int32_t *position = mem_array((size_t)rows, sizeof *position);
    for (int64_t row = 0; row < rows; row++) {
        position[row] = (int32_t)(t->first_position + at + row);
        memcpy(z + row * ld, t->z + (at + row) * t->V + first, (size_t)V * sizeof *z);
        z[row * ld + V] = 77;
    }
    encoder_rows(n, z, ld, position, rows);
    for (int64_t row = 0; row < rows; row++)
        assert_true(z[row * ld + V] == 77);
    mem_free(position);
    mem_free(z);
}

/* Collective over c. The record, on every rank. */
static struct bytes encode(const struct label_spec *spec, const struct comm *c, const struct task *t)
{
    int64_t first, end;
    shard_range(t->V, c->rank, c->size, &first, &end);
    uint64_t *allowed = shard_of_set(t->allowed, first, end);
    struct encoder *n = encoder_new(spec, c, first, end - first, allowed);
    encoder_begin(n, 5, t->input_hash, t->first_position + (int)t->rows);
    for (int64_t at = 0; at < t->rows; at += t->chunk)
        encode_chunk(n, t, first, end, at, t->rows - at < t->chunk ? t->rows - at : t->chunk);
    struct bytes b;
    b.data = encoder_finish(n, &b.size);
    assert_true((b.data != NULL) == (c->rank == 0));
    encoder_free(n);
    mem_free(allowed);
    comm_broadcast_buffer(c, &b.data, &b.size, 0);
    return b;
}

static struct label_set decode(const struct label_spec *spec, const struct task *t, struct bytes b)
{
    struct label_set set;
    struct err e = {0};
    assert_done(record_decode(b.data, b.size, spec, 5, t->input_hash, (uint32_t)t->V, &set, &e), &e);
    assert_int_equal(set.labels, t->rows);
    return set;
}

static struct label_set encode_decode(const struct label_spec *spec, const struct comm *c, const struct task *t)
{
    const struct bytes b = encode(spec, c, t);
    const struct label_set set = decode(spec, t, b);
    mem_free(b.data);
    return set;
}

/* p[V] of one row in double, 0 where not allowed; returns the entropy. */
static double probabilities(const struct task *t, int64_t row, double temperature, double *p)
{
    const float *z = t->z + row * t->V;
    double max = -INFINITY, sum = 0, entropy = 0;
    for (int64_t j = 0; j < t->V; j++)
        max = bit(t->allowed, j) ? fmax(max, z[j] / temperature) : max;
    for (int64_t j = 0; j < t->V; j++)
        sum += p[j] = bit(t->allowed, j) ? exp(z[j] / temperature - max) : 0;
    for (int64_t j = 0; j < t->V; j++) {
        p[j] /= sum;
        entropy -= p[j] > 0 ? p[j] * log(p[j]) : 0;
    }
    return entropy;
}

#endif
