/* See sum.h. Two ways with the same bits. Few values: every rank sends all of its values to all and adds them itself,
 * one message delay. Many: each rank owns a slice, adds it and sends the result round, two delays but no more than
 * twice the values on the wire whatever the number of ranks. Longer vectors go piece by piece, so that kept memory is
 * bounded. */
#include "par/sum.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "par/combine.h"
#include "par/groups.h"
#include "par/request.h"

enum {
    PIECE_BYTES = 16 << 20, /* reduced at a time */
    WHOLE_BYTES =
        64 << 10, /* what a rank may receive in the first way; two ranks always use it: it costs them nothing */
};

/* Kept between calls, main thread only. */
static struct {
    char *bytes; /* other ranks' contributions */
    size_t size;
    MPI_Request *requests; /* 2 per rank */
    const void **parts;    /* contributions in rank order */
    int ranks;
} scratch;

void sum_release(void)
{
    mem_free(scratch.bytes);
    mem_free(scratch.requests);
    mem_free(scratch.parts);
    memset(&scratch, 0, sizeof scratch);
}

static void reserve(int ranks, size_t bytes)
{
    if (ranks > scratch.ranks) {
        scratch.requests = mem_resize(scratch.requests, 2 * (size_t)ranks, sizeof(MPI_Request));
        scratch.parts = mem_resize(scratch.parts, (size_t)ranks, sizeof *scratch.parts);
        scratch.ranks = ranks;
    }
    if (bytes > scratch.size) {
        mem_free(scratch.bytes);
        scratch.bytes = mem_alloc(bytes);
        scratch.size = bytes;
    }
}

/* Where rank's contribution of `size` bytes lands; mine stays where it is. */
static void lay_out_parts(const struct comm *c, const void *mine, size_t size)
{
    reserve(c->size, (size_t)(c->size - 1) * size);
    char *at = scratch.bytes;
    for (int r = 0; r < c->size; r++) {
        scratch.parts[r] = r == c->rank ? mine : at;
        at += r == c->rank ? 0 : size;
    }
}

/* The rank that is i places after this one: everybody starts with another one, so that no rank is flooded. */
static int peer(const struct comm *c, int i)
{
    return (c->rank + i) % c->size;
}

/* Afterwards scratch.parts holds every rank's x of `size` bytes. */
static void exchange_whole(const struct comm *c, const void *x, size_t size)
{
    lay_out_parts(c, x, size);
    int count = 0;
    for (int i = 1; i < c->size; i++) {
        const int r = peer(c, i);
        scratch.requests[count++] = request_receive(c, (void *)scratch.parts[r], size, r, TAG_WHOLE);
    }
    for (int i = 1; i < c->size; i++)
        scratch.requests[count++] = request_send(c, x, size, peer(c, i), TAG_WHOLE);
    request_wait(scratch.requests, count);
}

struct slice {
    char *at;
    size_t size;
};

static struct slice slice_of(char *x, int64_t n, size_t element, int rank, int ranks)
{
    int64_t first, end;
    shard_range(n, rank, ranks, &first, &end);
    return (struct slice){x + (size_t)first * element, (size_t)(end - first) * element};
}

/* Afterwards scratch.parts holds every rank's contribution to the slice that this rank owns. */
static void exchange_slices(const struct comm *c, char *x, int64_t n, size_t element)
{
    const struct slice mine = slice_of(x, n, element, c->rank, c->size);
    lay_out_parts(c, mine.at, mine.size);
    int count = 0;
    for (int i = 1; i < c->size; i++) {
        const int r = peer(c, i);
        scratch.requests[count++] = request_receive(c, (void *)scratch.parts[r], mine.size, r, TAG_SLICE);
    }
    for (int i = 1; i < c->size; i++) {
        const struct slice theirs = slice_of(x, n, element, peer(c, i), c->size);
        scratch.requests[count++] = request_send(c, theirs.at, theirs.size, peer(c, i), TAG_SLICE);
    }
    request_wait(scratch.requests, count);
}

/* Every rank's slice of x to every rank. */
static void exchange_results(const struct comm *c, char *x, int64_t n, size_t element)
{
    const struct slice mine = slice_of(x, n, element, c->rank, c->size);
    int count = 0;
    for (int i = 1; i < c->size; i++) {
        const struct slice theirs = slice_of(x, n, element, peer(c, i), c->size);
        scratch.requests[count++] = request_receive(c, theirs.at, theirs.size, peer(c, i), TAG_RESULT);
    }
    for (int i = 1; i < c->size; i++)
        scratch.requests[count++] = request_send(c, mine.at, mine.size, peer(c, i), TAG_RESULT);
    request_wait(scratch.requests, count);
}

static void reduce_piece(const struct comm *c, char *x, int64_t n, size_t element, combine_function *combine)
{
    const size_t size = (size_t)n * element;
    if (c->size == 2 || size * (size_t)(c->size - 1) <= WHOLE_BYTES) {
        exchange_whole(c, x, size);
        combine(x, scratch.parts, c->size, n);
        return;
    }
    exchange_slices(c, x, n, element);
    const struct slice mine = slice_of(x, n, element, c->rank, c->size);
    combine(mine.at, scratch.parts, c->size, (int64_t)(mine.size / element));
    exchange_results(c, x, n, element);
}

static void reduce(const struct comm *c, void *x, int64_t n, size_t element, combine_function *combine)
{
    ASSERT(n >= 0);
    if (c->size == 1)
        return;
    const int64_t piece = PIECE_BYTES / (int64_t)element;
    for (int64_t at = 0; at < n; at += piece)
        reduce_piece(c, (char *)x + (size_t)at * element, n - at < piece ? n - at : piece, element, combine);
}

void sum_f32(const struct comm *c, float *x, int64_t n)
{
    reduce(c, x, n, sizeof *x, combine_sum_f32);
}

void sum_f64(const struct comm *c, double *x, int64_t n)
{
    reduce(c, x, n, sizeof *x, combine_sum_f64);
}

void max_f32(const struct comm *c, float *x, int64_t n)
{
    reduce(c, x, n, sizeof *x, combine_max_f32);
}

/* parts[r][i]: rank r's x. The value before rank r + 1 is the value before rank r plus x of rank r, to the bit. */
static void scan_parts(const struct comm *c, double *before, double *total, int64_t n)
{
    const double *const *parts = (const double *const *)scratch.parts;
    for (int64_t i = 0; i < n; i++) {
        double sum = 0, mine = 0;
        for (int r = 0; r < c->size; r++) {
            mine = r == c->rank ? sum : mine;
            sum = r == 0 ? parts[0][i] : sum + parts[r][i];
        }
        before[i] = mine;
        total[i] = sum;
    }
}

void scan_f64(const struct comm *c, double *before, double *total, const double *x, int64_t n)
{
    ASSERT(n >= 0);
    const int64_t piece = WHOLE_BYTES / (int64_t)sizeof *x;
    for (int64_t at = 0; at < n; at += piece) {
        const int64_t m = n - at < piece ? n - at : piece;
        exchange_whole(c, x + at, (size_t)m * sizeof *x);
        scan_parts(c, before + at, total + at, m);
    }
}
