/* See exchange.h. */
#include "par/exchange.h"

#include <string.h>

#include "base/mem.h"
#include "par/groups.h"
#include "par/request.h"

/* Kept between calls, main thread only. */
static struct {
    char *bytes; /* other ranks' contributions */
    size_t size;
    MPI_Request *requests; /* 2 per rank */
    const void **parts;    /* contributions in rank order */
    int ranks;
} scratch;

void exchange_release(void)
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

int exchange_peer(const struct comm *c, int i)
{
    return (c->rank + i) % c->size;
}

const void *const *exchange_whole(const struct comm *c, const void *x, size_t size)
{
    lay_out_parts(c, x, size);
    int count = 0;
    for (int i = 1; i < c->size; i++) {
        const int r = exchange_peer(c, i);
        scratch.requests[count++] = request_receive(c, (void *)scratch.parts[r], size, r, TAG_WHOLE);
    }
    for (int i = 1; i < c->size; i++)
        scratch.requests[count++] = request_send(c, x, size, exchange_peer(c, i), TAG_WHOLE);
    request_wait(scratch.requests, count);
    return scratch.parts;
}

struct slice exchange_slice(void *x, int64_t n, size_t element, int rank, int ranks)
{
    int64_t first, end;
    shard_range(n, rank, ranks, &first, &end);
    return (struct slice){(char *)x + (size_t)first * element, (size_t)(end - first) * element};
}

/* Afterwards scratch.parts holds every rank's contribution to the slice that this rank owns. */
static void send_slices(const struct comm *c, char *x, int64_t n, size_t element)
{
    const struct slice mine = exchange_slice(x, n, element, c->rank, c->size);
    lay_out_parts(c, mine.at, mine.size);
    int count = 0;
    for (int i = 1; i < c->size; i++) {
        const int r = exchange_peer(c, i);
        scratch.requests[count++] = request_receive(c, (void *)scratch.parts[r], mine.size, r, TAG_SLICE);
    }
    for (int i = 1; i < c->size; i++) {
        const struct slice theirs = exchange_slice(x, n, element, exchange_peer(c, i), c->size);
        scratch.requests[count++] = request_send(c, theirs.at, theirs.size, exchange_peer(c, i), TAG_SLICE);
    }
    request_wait(scratch.requests, count);
}

/* Every rank's slice of x to every rank. */
static void send_results(const struct comm *c, char *x, int64_t n, size_t element)
{
    const struct slice mine = exchange_slice(x, n, element, c->rank, c->size);
    int count = 0;
    for (int i = 1; i < c->size; i++) {
        const struct slice theirs = exchange_slice(x, n, element, exchange_peer(c, i), c->size);
        scratch.requests[count++] = request_receive(c, theirs.at, theirs.size, exchange_peer(c, i), TAG_RESULT);
    }
    for (int i = 1; i < c->size; i++)
        scratch.requests[count++] = request_send(c, mine.at, mine.size, exchange_peer(c, i), TAG_RESULT);
    request_wait(scratch.requests, count);
}

void exchange_slices(const struct comm *c, void *x, int64_t n, size_t element, combine_function *combine)
{
    const struct slice mine = exchange_slice(x, n, element, c->rank, c->size);
    send_slices(c, x, n, element);
    combine(mine.at, scratch.parts, c->size, (int64_t)(mine.size / element));
    send_results(c, x, n, element);
}
