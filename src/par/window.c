/* See window.h. Every rank has an area of two halves and a counter in shared memory. An operation writes into one half,
 * counts up and waits until all have counted as far. The halves take turns: who begins the operation after the next has
 * seen everybody enter the next one, so nobody still reads what it is about to overwrite. */
#include "par/window.h"

#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "par/groups.h"
#include "par/request.h"

/* What lies at the start of each rank's part of the shared memory. */
struct area {
    _Atomic uint64_t stage; /* meetings that this rank has come to */
    char padding[4096 - sizeof(uint64_t)];
    unsigned char halves[2][WINDOW_BYTES];
};

struct window {
    struct comm comm; /* borrowed: the communicator that it belongs to */
    MPI_Win mpi;
    uint64_t stage;      /* of this rank */
    int half;            /* the one in use */
    struct area **areas; /* of all ranks */
    const void **parts;  /* what the operation in work combines, in rank order */
};

/* The attribute that ties a window to its communicator; the value is &none for one that shall have no window. */
static int key = MPI_KEYVAL_INVALID;
static struct window none;

static int free_window(MPI_Comm mpi, int keyval, void *value, void *extra)
{
    (void)mpi;
    (void)keyval;
    (void)extra;
    struct window *w = value;
    if (w == &none)
        return MPI_SUCCESS;
    MPI_Win_free(&w->mpi);
    mem_free(w->areas);
    mem_free(w->parts);
    mem_free(w);
    return MPI_SUCCESS;
}

static void make_key(void)
{
    if (key == MPI_KEYVAL_INVALID)
        MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, free_window, &key, NULL);
}

static bool on_one_host(const struct comm *c)
{
    struct comm host;
    comm_split_host(&host, c);
    const bool one = comm_min(c, host.size) == c->size;
    comm_free(&host);
    return one;
}

static struct area *find_area(struct window *w, int rank)
{
    MPI_Aint size;
    int unit;
    void *at;
    MPI_Win_shared_query(w->mpi, rank, &size, &unit, &at);
    ASSERT((size_t)size >= sizeof(struct area));
    return at;
}

static struct window *make_window(const struct comm *c)
{
    struct window *w = mem_alloc(sizeof *w);
    w->comm = *c;
    w->comm.owned = false;
    w->areas = mem_array((size_t)c->size, sizeof *w->areas);
    w->parts = mem_array((size_t)c->size, sizeof *w->parts);
    /* each area on pages of its own, which the first touch puts near its rank */
    MPI_Info info;
    void *mine;
    MPI_Info_create(&info);
    MPI_Info_set(info, "alloc_shared_noncontig", "true");
    MPI_Win_allocate_shared((MPI_Aint)sizeof(struct area), 1, info, c->mpi, &mine, &w->mpi);
    MPI_Info_free(&info);
    memset(mine, 0, sizeof(struct area));
    for (int r = 0; r < c->size; r++)
        w->areas[r] = find_area(w, r);
    comm_barrier(c); /* no counter is read before it is zero */
    return w;
}

struct window *window_of(const struct comm *c)
{
    if (c->size == 1)
        return NULL;
    make_key();
    struct window *w;
    int found;
    MPI_Comm_get_attr(c->mpi, key, &w, &found);
    if (!found) {
        w = on_one_host(c) ? make_window(c) : &none;
        MPI_Comm_set_attr(c->mpi, key, w);
    }
    return w == &none ? NULL : w;
}

void window_refuse(const struct comm *c)
{
    make_key();
    MPI_Comm_set_attr(c->mpi, key, &none);
}

/* What a rank has written before it comes here, all have when they leave. A hang here means that a rank has called
 * another sum, or none. */
static void meet(struct window *w)
{
    const uint64_t stage = ++w->stage;
    atomic_store_explicit(&w->areas[w->comm.rank]->stage, stage, memory_order_release);
    for (int r = 0; r < w->comm.size; r++) {
        int round = 0;
        while (atomic_load_explicit(&w->areas[r]->stage, memory_order_acquire) < stage)
            request_pause(&round);
    }
}

static unsigned char *half_of(const struct window *w, int rank)
{
    return w->areas[rank]->halves[w->half];
}

static void publish(struct window *w, const void *x, size_t size)
{
    ASSERT(size <= WINDOW_BYTES);
    w->half = !w->half;
    memcpy(half_of(w, w->comm.rank), x, size);
    meet(w);
}

const void *const *window_whole(struct window *w, const void *x, size_t size)
{
    publish(w, x, size);
    for (int r = 0; r < w->comm.size; r++)
        w->parts[r] = r == w->comm.rank ? x : half_of(w, r);
    return w->parts;
}

void window_slices(struct window *w, void *x, int64_t n, size_t element, combine_function *combine)
{
    const struct comm *c = &w->comm;
    int64_t first, end;
    publish(w, x, (size_t)n * element);
    shard_range(n, c->rank, c->size, &first, &end);
    for (int r = 0; r < c->size; r++)
        w->parts[r] = half_of(w, r) + (size_t)first * element;
    /* the result goes where the own contribution stood: nobody else reads this slice of this area before the meeting */
    combine(half_of(w, c->rank) + (size_t)first * element, w->parts, c->size, end - first);
    meet(w);
    for (int r = 0; r < c->size; r++) {
        shard_range(n, r, c->size, &first, &end);
        memcpy((char *)x + (size_t)first * element, half_of(w, r) + (size_t)first * element,
               (size_t)(end - first) * element);
    }
}
