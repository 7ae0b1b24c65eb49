/* Records from teachers to students with nothing computed on either side: what the label stream carries, beside what
 * MPI alone carries in messages of the same size between the same ranks. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "job/bench_pass.h"
#include "label/stream.h"

enum { BYTES_PER_TOKEN = 68, ITEMS = 256, WINDOW = 4 }; /* a token of `sampled` 0.02 before compression */

struct stream_run {
    struct groups groups;
    struct stream *stream;
    int pairs; /* teacher p sends to student p */
    size_t size;
    double seconds, ceiling;
};

static void *make_record(size_t size)
{
    void *bytes = mem_alloc(size);
    memset(bytes, 1, size);
    return bytes;
}

static void serve(struct stream_run *r, int owner)
{
    for (int64_t item = 0; item < ITEMS; item++) {
        stream_wait_permit(r->stream, owner, item);
        stream_send(r->stream, owner, item, make_record(r->size), r->size);
    }
}

static void take(struct stream_run *r, int maker)
{
    for (int64_t item = 0; item < ITEMS; item++) {
        size_t size;
        double waited = 0;
        stream_permit(r->stream, item + WINDOW);
        mem_free(stream_take(r->stream, maker, item, &size, &waited));
    }
}

static void run_streamed(struct stream_run *r)
{
    const struct place *me = &r->groups.me;
    comm_barrier(r->groups.world);
    const double began = clock_seconds();
    if (me->replica < r->pairs && me->role == ROLE_TEACHER)
        serve(r, me->replica);
    else if (me->replica < r->pairs)
        take(r, me->replica);
    comm_barrier(r->groups.world);
    r->seconds = clock_seconds() - began;
}

static void run_plain(struct stream_run *r)
{
    const struct place *me = &r->groups.me;
    struct comm pair;
    comm_split(&pair, r->groups.world, me->replica, me->role == ROLE_TEACHER ? 0 : 1);
    void *bytes = make_record(r->size);
    comm_barrier(r->groups.world);
    const double began = clock_seconds();
    for (int item = 0; item < ITEMS && me->replica < r->pairs; item++)
        comm_broadcast(&pair, bytes, r->size, 0);
    comm_barrier(r->groups.world);
    r->ceiling = clock_seconds() - began;
    mem_free(bytes);
    comm_free(&pair);
}

static void report(const struct stream_run *r, const struct bench_options *o, struct strbuf *out)
{
    const double bytes = (double)r->size * ITEMS * r->pairs, rate = bytes / r->seconds, most = bytes / r->ceiling;
    const double tokens = (double)o->sequence_length * ITEMS * r->pairs / r->seconds;
    const int ranks = r->groups.world->size;
    if (o->json)
        strbuf_printf(out,
                      "{\"what\": \"stream\", \"ranks\": %d, \"sequence_length\": %d, \"tokens_per_second\": %.0f, "
                      "\"bytes_per_second\": %.0f, \"ceiling_bytes_per_second\": %.0f, \"share\": %.4f}\n",
                      ranks, o->sequence_length, tokens, rate, most, rate / most);
    else
        strbuf_printf(out,
                      "stream: %d teacher%s to as many students, records of %zu bytes (%d tokens)\n"
                      "%.0f tokens/s, %.1f MB/s of %.1f that plain messages of that size reach: %.3f\n",
                      r->pairs, r->pairs > 1 ? "s" : "", r->size, o->sequence_length, tokens, 1e-6 * rate, 1e-6 * most,
                      rate / most);
}

int bench_stream(const struct comm *world, const struct bench_options *o, struct strbuf *out, struct err *e)
{
    if (world->size < 2)
        return err_set(e, ERR_USAGE, "bench stream needs two ranks or more: mpirun -n 2 retort bench stream");
    struct stream_run r = {.pairs = world->size / 2, .size = (size_t)o->sequence_length * BYTES_PER_TOKEN};
    const struct group_shape teacher = {r.pairs, 1, 1}, student = {world->size - r.pairs, 1, 1};
    if (groups_open(&r.groups, world, teacher, student, GROUPS_BOTH, ROLE_ANY, e))
        return -1;
    r.stream = stream_new(&r.groups);
    run_streamed(&r);
    run_plain(&r);
    if (world->rank == 0)
        report(&r, o, out);
    stream_free(r.stream);
    groups_close(&r.groups);
    return 0;
}
