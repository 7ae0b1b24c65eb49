/* gather_bytes of sum.h: bytes of any size to one rank. Sizes first, then the bytes in messages that MPI's int can
 * count. Root takes one rank after the other: the memory is one buffer, and order costs nothing where one link is the
 * limit. */
#include "base/mem.h"
#include "par/request.h"
#include "par/sum.h"

#include <string.h>

static void send_all(const struct comm *c, const char *bytes, size_t size, int root)
{
    MPI_Request r = request_send(c, &size, sizeof size, root, TAG_GATHER);
    request_wait(&r, 1);
    for (size_t at = 0; at < size; at += REQUEST_BYTES_MAX) {
        const size_t piece = size - at < REQUEST_BYTES_MAX ? size - at : REQUEST_BYTES_MAX;
        r = request_send(c, bytes + at, piece, root, TAG_GATHER);
        request_wait(&r, 1);
    }
}

static void receive_all(const struct comm *c, char *bytes, size_t size, int from)
{
    for (size_t at = 0; at < size; at += REQUEST_BYTES_MAX) {
        const size_t piece = size - at < REQUEST_BYTES_MAX ? size - at : REQUEST_BYTES_MAX;
        MPI_Request r = request_receive(c, bytes + at, piece, from, TAG_GATHER);
        request_wait(&r, 1);
    }
}

static void receive_sizes(const struct comm *c, size_t mine, size_t *offsets)
{
    offsets[0] = 0;
    for (int r = 0; r < c->size; r++) {
        size_t size = mine;
        if (r != c->rank) {
            MPI_Request request = request_receive(c, &size, sizeof size, r, TAG_GATHER);
            request_wait(&request, 1);
        }
        offsets[r + 1] = offsets[r] + size;
    }
}

static void reserve(void **all, size_t *room, size_t size)
{
    if (*all && size <= *room)
        return;
    mem_free(*all);
    *all = mem_alloc(size);
    *room = size;
}

void gather_bytes(const struct comm *c, const void *mine, size_t size, void **all, size_t *room, size_t *offsets,
                  int root)
{
    if (c->rank != root) {
        send_all(c, mine, size, root);
        return;
    }
    receive_sizes(c, size, offsets);
    reserve(all, room, offsets[c->size]);
    char *bytes = *all;
    for (int r = 0; r < c->size; r++)
        if (r != root)
            receive_all(c, bytes + offsets[r], offsets[r + 1] - offsets[r], r);
    if (size)
        memcpy(bytes + offsets[root], mine, size);
}
