/* See bucket.h. Every rank sends, of each started bucket, to every other rank the slice that it owns, straight out of
 * the gradient buffer. What arrives lands in a few landings of bounded size, in pieces; when all contributions to a
 * piece are there they are added in rank order into the own slice. Pieces and buckets are the same list on all ranks,
 * so order alone matches the messages. */
#include "par/bucket.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "par/combine.h"
#include "par/groups.h"
#include "par/progress.h"
#include "par/request.h"

enum {
    LANDINGS = 4,             /* pieces that may be on their way in at once */
    LANDING_FLOATS = 8 << 20, /* room in all landings together (32 MiB), from which the piece follows */
    PIECE_MIN = 4096,
    PIECE_MAX = 1 << 18, /* 1 MiB keeps a link busy */
};

/* A piece of the own slice, with room for the contribution of every other rank. */
struct landing {
    float *sum; /* where in the gradient it goes; mine is there already */
    int64_t n;
    float *room;
    const void **parts;
    MPI_Request *requests;
};

/* A bucket that has been started, and how much of the own slice has been given a landing. */
struct started {
    int bucket;
    float *gradient;
    int64_t landed;
};

struct buckets {
    struct comm comm;
    struct progress_item item;
    int64_t *bounds;
    int count;
    int64_t piece;

    struct started *started; /* in the order of the calls; all of this is guarded by the progress lock */
    int started_count, landing_bucket;
    struct landing landings[LANDINGS]; /* a ring, oldest first */
    int oldest, busy;
    MPI_Request *sends;
    int sends_posted, sends_done, sends_room;
};

void buckets_slice(const struct buckets *k, int b, int rank, int64_t *first, int64_t *end)
{
    ASSERT(b >= 0 && b < k->count);
    shard_range(k->bounds[b + 1] - k->bounds[b], rank, k->comm.size, first, end);
    *first += k->bounds[b];
    *end += k->bounds[b];
}

static int64_t slice_length(const struct buckets *k, int b, int rank)
{
    int64_t first, end;
    buckets_slice(k, b, rank, &first, &end);
    return end - first;
}

/* Bits do not depend on it, but all ranks must cut alike. */
static int64_t piece_for(int ranks)
{
    const int64_t n = LANDING_FLOATS / LANDINGS / (ranks > 1 ? ranks - 1 : 1);
    return n < PIECE_MIN ? PIECE_MIN : n > PIECE_MAX ? PIECE_MAX : n;
}

static int64_t pieces_of(const struct buckets *k, int64_t n)
{
    return (n + k->piece - 1) / k->piece;
}

static int count_sends(const struct buckets *k)
{
    int64_t n = 0;
    for (int b = 0; b < k->count; b++)
        for (int r = 0; r < k->comm.size; r++)
            n += r == k->comm.rank ? 0 : pieces_of(k, slice_length(k, b, r));
    ASSERT(n <= INT32_MAX);
    return (int)n;
}

static void make_landings(struct buckets *k)
{
    int64_t longest = 0;
    for (int b = 0; b < k->count; b++) {
        const int64_t n = slice_length(k, b, k->comm.rank);
        longest = n > longest ? n : longest;
    }
    const size_t others = (size_t)k->comm.size - 1, room = (size_t)(longest < k->piece ? longest : k->piece);
    for (int i = 0; i < LANDINGS; i++) {
        struct landing *l = &k->landings[i];
        l->room = mem_array(others * room, sizeof *l->room);
        l->parts = mem_array(others + 1, sizeof *l->parts);
        l->requests = mem_array(others, sizeof(MPI_Request));
    }
}

/* The next piece of the oldest bucket that is not all landed takes a landing. False if there is none, or no piece. */
static bool land_next(struct buckets *k)
{
    if (k->busy == LANDINGS || k->landing_bucket == k->started_count)
        return false;
    struct started *s = &k->started[k->landing_bucket];
    int64_t first, end;
    buckets_slice(k, s->bucket, k->comm.rank, &first, &end);
    first += s->landed;
    struct landing *l = &k->landings[(k->oldest + k->busy) % LANDINGS];
    l->sum = s->gradient + first;
    l->n = end - first < k->piece ? end - first : k->piece;
    s->landed += l->n;
    if (first + l->n == end)
        k->landing_bucket++;
    if (l->n == 0)
        return true; /* a bucket of which this rank owns nothing */
    float *room = l->room;
    for (int r = 0, i = 0; r < k->comm.size; r++) {
        l->parts[r] = r == k->comm.rank ? l->sum : room;
        if (r == k->comm.rank)
            continue;
        l->requests[i++] = request_receive(&k->comm, room, (size_t)l->n * sizeof(float), r, TAG_BUCKET);
        room += l->n;
    }
    k->busy++;
    return true;
}

/* Adds the oldest piece if all of it is there. */
static bool add_oldest(struct buckets *k)
{
    if (!k->busy)
        return false;
    struct landing *l = &k->landings[k->oldest];
    int there;
    MPI_Testall(k->comm.size - 1, l->requests, &there, MPI_STATUSES_IGNORE);
    if (!there)
        return false;
    combine_sum_f32(l->sum, l->parts, k->comm.size, l->n);
    k->oldest = (k->oldest + 1) % LANDINGS;
    k->busy--;
    return true;
}

static bool send_done(struct buckets *k)
{
    int done = 0;
    if (k->sends_done < k->sends_posted)
        MPI_Test(&k->sends[k->sends_done], &done, MPI_STATUS_IGNORE);
    k->sends_done += done;
    return done;
}

static void step(void *context)
{
    struct buckets *k = context;
    while (land_next(k) || add_oldest(k) || send_done(k))
        progress_moved();
}

static bool all_done(void *context)
{
    const struct buckets *k = context;
    return k->landing_bucket == k->started_count && !k->busy && k->sends_done == k->sends_posted;
}

struct buckets *buckets_new(const struct comm *c, const int64_t *bounds, int count)
{
    ASSERT(count >= 0);
    for (int b = 0; b < count; b++)
        ASSERT(bounds[b] >= 0 && bounds[b] <= bounds[b + 1]);
    struct buckets *k = mem_alloc(sizeof *k);
    comm_duplicate(&k->comm, c);
    k->count = count;
    k->bounds = mem_array((size_t)count + 1, sizeof *k->bounds);
    memcpy(k->bounds, bounds, ((size_t)count + 1) * sizeof *k->bounds);
    k->piece = piece_for(k->comm.size);
    k->started = mem_array((size_t)count, sizeof *k->started);
    k->sends_room = count_sends(k);
    k->sends = mem_array((size_t)k->sends_room, sizeof(MPI_Request));
    make_landings(k);
    k->item = (struct progress_item){.step = step, .context = k};
    progress_add(&k->item);
    return k;
}

void buckets_free(struct buckets *k)
{
    if (!k)
        return;
    ASSERT(k->started_count == 0); /* buckets_finish comes first */
    progress_remove(&k->item);
    for (int i = 0; i < LANDINGS; i++) {
        mem_free(k->landings[i].room);
        mem_free(k->landings[i].parts);
        mem_free(k->landings[i].requests);
    }
    mem_free(k->sends);
    mem_free(k->started);
    mem_free(k->bounds);
    comm_free(&k->comm);
    mem_free(k);
}

static void send_slice(struct buckets *k, int b, const float *gradient, int to)
{
    int64_t first, end;
    buckets_slice(k, b, to, &first, &end);
    for (int64_t at = first; at < end; at += k->piece) {
        const int64_t n = end - at < k->piece ? end - at : k->piece;
        ASSERT(k->sends_posted < k->sends_room); /* a bucket was started twice */
        k->sends[k->sends_posted++] = request_send(&k->comm, gradient + at, (size_t)n * sizeof(float), to, TAG_BUCKET);
    }
}

void buckets_start(struct buckets *k, int b, float *gradient)
{
    if (k->comm.size == 1)
        return; /* the sum is there already */
    progress_lock();
    ASSERT(k->started_count < k->count);
    k->started[k->started_count++] = (struct started){.bucket = b, .gradient = gradient};
    while (land_next(k))
        continue; /* receives that stand before the messages come save a copy */
    for (int i = 1; i < k->comm.size; i++)
        send_slice(k, b, gradient, (k->comm.rank + i) % k->comm.size);
    progress_unlock();
}

double buckets_finish(struct buckets *k)
{
    const double waited = progress_wait(all_done, k);
    k->started_count = k->landing_bucket = 0;
    k->sends_posted = k->sends_done = 0;
    return waited;
}

/* Elements [at, at + most) of rank's slice of bucket b, as a place in x and a size in bytes (0 beyond its end). */
static size_t owned_piece(const struct buckets *k, int b, int rank, int64_t at, int64_t most, int64_t *first)
{
    int64_t end;
    buckets_slice(k, b, rank, first, &end);
    *first += at;
    const int64_t n = end - *first < most ? end - *first : most;
    return n > 0 ? (size_t)n * sizeof(float) : 0;
}

static void gather_piece(struct buckets *k, int b, float *x, int64_t at, int64_t most, MPI_Request *requests)
{
    const struct comm *c = &k->comm;
    int64_t mine, theirs;
    const size_t my_size = owned_piece(k, b, c->rank, at, most, &mine);
    int count = 0;
    for (int i = 1; i < c->size; i++) {
        const int r = (c->rank + i) % c->size;
        const size_t size = owned_piece(k, b, r, at, most, &theirs);
        requests[count++] = request_receive(c, x + theirs, size, r, TAG_OWNED);
    }
    for (int i = 1; i < c->size; i++)
        requests[count++] = request_send(c, x + mine, my_size, (c->rank + i) % c->size, TAG_OWNED);
    request_wait(requests, count);
}

void buckets_gather(struct buckets *k, float *x)
{
    if (k->comm.size == 1)
        return;
    const int64_t most = (int64_t)(REQUEST_BYTES_MAX / sizeof(float));
    MPI_Request *requests = mem_array(2 * (size_t)k->comm.size, sizeof(MPI_Request));
    for (int b = 0; b < k->count; b++) {
        /* the last rank's slice is the longest (shard_range rounds down) */
        const int64_t longest = slice_length(k, b, k->comm.size - 1);
        for (int64_t at = 0; at < longest; at += most)
            gather_piece(k, b, x, at, most, requests);
    }
    mem_free(requests);
}
