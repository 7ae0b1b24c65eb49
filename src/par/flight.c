/* See flight.h. First every rank's contributions to a slice travel to the rank that owns it, then the owner's results
 * to everybody. Results land where contributions were sent from, so they are awaited only when those have left. */
#include "par/flight.h"

#include <stdbool.h>

#include "base/assert.h"
#include "base/mem.h"
#include "par/combine.h"
#include "par/exchange.h"
#include "par/progress.h"
#include "par/request.h"
#include "par/sum.h"

enum stage { LANDED, CONTRIBUTIONS, RESULTS };

struct flight {
    struct comm comm; /* its own: two flights may overtake each other */
    struct progress_item item;
    enum stage stage; /* this and all below is guarded by the progress lock while it is not LANDED */
    float *x;
    int64_t n;
    char *room; /* others' contributions to the own slice */
    size_t room_size;
    const void **parts;
    MPI_Request *requests;
    int posted;
    bool up; /* started and not finished */
};

struct flights {
    struct flight slot[SUM_SLOTS];
};

static int key = MPI_KEYVAL_INVALID;

static void release(struct flight *f)
{
    ASSERT(!f->up);
    comm_free(&f->comm);
    mem_free(f->room);
    mem_free(f->parts);
    mem_free(f->requests);
}

static int free_flights(MPI_Comm mpi, int keyval, void *value, void *extra)
{
    (void)mpi;
    (void)keyval;
    (void)extra;
    struct flights *all = value;
    for (int i = 0; i < SUM_SLOTS; i++)
        release(&all->slot[i]);
    mem_free(all);
    return MPI_SUCCESS;
}

static struct flights *make_flights(const struct comm *c)
{
    struct flights *all = mem_alloc(sizeof *all);
    for (int i = 0; i < SUM_SLOTS; i++) {
        struct flight *f = &all->slot[i];
        *f = (struct flight){.stage = LANDED};
        comm_duplicate(&f->comm, c);
        f->parts = mem_array((size_t)c->size, sizeof *f->parts);
        f->requests = mem_array(2 * (size_t)c->size, sizeof(MPI_Request));
    }
    return all;
}

struct flight *flight_of(const struct comm *c, int slot)
{
    ASSERT(slot >= 0 && slot < SUM_SLOTS);
    if (key == MPI_KEYVAL_INVALID)
        MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, free_flights, &key, NULL);
    struct flights *all;
    int found;
    MPI_Comm_get_attr(c->mpi, key, &all, &found);
    if (!found) {
        all = make_flights(c);
        MPI_Comm_set_attr(c->mpi, key, all);
    }
    return &all->slot[slot];
}

bool flight_takes(const struct comm *c, int64_t n)
{
    return (size_t)(n / c->size + 1) * sizeof(float) <= REQUEST_BYTES_MAX;
}

static struct slice slice_of(const struct flight *f, int rank)
{
    return exchange_slice(f->x, f->n, sizeof *f->x, rank, f->comm.size);
}

static int peer(const struct flight *f, int i)
{
    return exchange_peer(&f->comm, i);
}

static void receive(struct flight *f, struct slice s, int from, enum request_tag tag)
{
    f->requests[f->posted++] = request_receive(&f->comm, s.at, s.size, from, tag);
}

static void send(struct flight *f, struct slice s, int to, enum request_tag tag)
{
    f->requests[f->posted++] = request_send(&f->comm, s.at, s.size, to, tag);
}

static void send_contributions(struct flight *f)
{
    const struct slice mine = slice_of(f, f->comm.rank);
    struct slice to = {f->room, mine.size};
    f->stage = CONTRIBUTIONS;
    f->posted = 0;
    for (int r = 0; r < f->comm.size; r++) {
        f->parts[r] = r == f->comm.rank ? mine.at : to.at;
        if (r == f->comm.rank)
            continue;
        receive(f, to, r, TAG_FLIGHT);
        to.at += mine.size;
    }
    for (int i = 1; i < f->comm.size; i++)
        send(f, slice_of(f, peer(f, i)), peer(f, i), TAG_FLIGHT);
}

static void send_results(struct flight *f)
{
    const struct slice mine = slice_of(f, f->comm.rank);
    combine_sum_f32(mine.at, f->parts, f->comm.size, (int64_t)(mine.size / sizeof *f->x));
    f->stage = RESULTS;
    f->posted = 0;
    for (int i = 1; i < f->comm.size; i++)
        receive(f, slice_of(f, peer(f, i)), peer(f, i), TAG_FLIGHT_RESULT);
    for (int i = 1; i < f->comm.size; i++)
        send(f, mine, peer(f, i), TAG_FLIGHT_RESULT);
}

static void step(void *context)
{
    struct flight *f = context;
    int there = 0;
    if (f->stage != LANDED)
        MPI_Testall(f->posted, f->requests, &there, MPI_STATUSES_IGNORE);
    if (!there)
        return;
    if (f->stage == CONTRIBUTIONS)
        send_results(f);
    else
        f->stage = LANDED;
    progress_moved();
}

static bool landed(void *context)
{
    const struct flight *f = context;
    return f->stage == LANDED;
}

static void reserve(struct flight *f)
{
    const size_t size = slice_of(f, f->comm.rank).size * (size_t)(f->comm.size - 1);
    if (size <= f->room_size)
        return;
    mem_free(f->room);
    f->room = mem_alloc(size);
    f->room_size = size;
}

void flight_start(struct flight *f, float *x, int64_t n)
{
    ASSERT(!f->up && flight_takes(&f->comm, n)); /* one at a time in each slot */
    f->up = true;
    f->x = x;
    f->n = n;
    reserve(f);
    send_contributions(f);
    f->item = (struct progress_item){.step = step, .context = f};
    progress_add(&f->item);
}

void flight_finish(struct flight *f)
{
    if (!f->up)
        return;
    progress_wait(landed, f);
    progress_remove(&f->item);
    f->up = false;
}
