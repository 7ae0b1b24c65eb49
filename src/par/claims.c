#include "par/claims.h"

#include "base/assert.h"
#include "base/integer.h"
#include "base/mem.h"
#include "par/progress.h"
#include "par/request.h"

/* What a rank says to the coordinator. Only ASK is answered; LEAVE is its last word. */
enum word { ASK, STOP, LEAVE };

struct question {
    enum word word;
    int64_t wanted, done;
};

struct answer {
    int64_t first, count;
};

/* An answer on its way: the next one to the same rank waits for it, and cannot wait long, since that rank asks again
 * only once it has it. */
struct reply {
    struct answer answer;
    MPI_Request request;
};

struct claims {
    struct comm comm;
    int takers;
    struct question stop; /* what claims_stop has sent */
    MPI_Request stopping;
    bool stopped; /* this rank has asked for it */

    /* the coordinator; guarded by the progress lock */
    struct progress_item item;
    int64_t next, end, done;
    int present; /* other ranks that have not left */
    struct question heard;
    MPI_Request standing; /* for the next question, whoever asks */
    struct reply *replies;
};

static bool coordinates(const struct claims *c)
{
    return c->comm.rank == 0;
}

/* --- the coordinator --- */

static struct answer hand_out(struct claims *c, int64_t wanted)
{
    const int64_t left = c->end - c->next, most = max_i64(1, left / (2 * c->takers));
    const struct answer a = {c->next, min_i64(left, min_i64(wanted, most))};
    c->next += a.count;
    return a;
}

static void reply(struct claims *c, int rank, struct answer answer)
{
    struct reply *r = &c->replies[rank];
    MPI_Wait(&r->request, MPI_STATUS_IGNORE);
    r->answer = answer;
    r->request = request_send(&c->comm, &r->answer, sizeof r->answer, rank, TAG_CLAIM_ANSWER);
}

static void await_question(struct claims *c)
{
    c->standing = request_receive(&c->comm, &c->heard, sizeof c->heard, MPI_ANY_SOURCE, TAG_CLAIM);
}

static void hear(struct claims *c, int rank)
{
    c->done += c->heard.done;
    if (c->heard.word == ASK)
        reply(c, rank, hand_out(c, c->heard.wanted));
    else if (c->heard.word == STOP)
        c->end = c->next;
    else
        c->present--;
}

static void step(void *context)
{
    struct claims *c = context;
    while (c->present) {
        MPI_Status status;
        int came;
        MPI_Test(&c->standing, &came, &status);
        if (!came)
            return;
        hear(c, status.MPI_SOURCE);
        progress_moved();
        if (c->present)
            await_question(c);
    }
}

static void coordinate(struct claims *c)
{
    c->replies = mem_array((size_t)c->comm.size, sizeof *c->replies);
    for (int r = 0; r < c->comm.size; r++)
        c->replies[r].request = MPI_REQUEST_NULL;
    c->present = c->comm.size - 1;
    if (c->present)
        await_question(c);
    c->item = (struct progress_item){.step = step, .context = c};
    progress_add(&c->item);
}

/* --- all ranks --- */

struct claims *claims_new(const struct comm *comm, int64_t total, int takers)
{
    ASSERT(total >= 0 && takers > 0);
    struct claims *c = mem_alloc(sizeof *c);
    comm_duplicate(&c->comm, comm);
    c->takers = takers;
    c->end = total;
    c->stopping = MPI_REQUEST_NULL;
    if (coordinates(c))
        coordinate(c);
    return c;
}

static bool all_have_left(void *context)
{
    return !((struct claims *)context)->present;
}

static void leave(struct claims *c)
{
    const struct question last = {.word = LEAVE};
    MPI_Request requests[] = {request_send(&c->comm, &last, sizeof last, 0, TAG_CLAIM), c->stopping};
    request_wait(requests, 2);
}

static void dismiss(struct claims *c)
{
    progress_wait(all_have_left, c);
    progress_remove(&c->item);
    for (int r = 0; r < c->comm.size; r++)
        request_wait(&c->replies[r].request, 1);
    mem_free(c->replies);
}

void claims_free(struct claims *c)
{
    if (!c)
        return;
    if (coordinates(c))
        dismiss(c);
    else
        leave(c);
    comm_free(&c->comm);
    mem_free(c);
}

static struct answer ask(struct claims *c, int64_t wanted, int64_t done)
{
    const struct question q = {ASK, wanted, done};
    struct answer a;
    MPI_Request requests[] = {request_receive(&c->comm, &a, sizeof a, 0, TAG_CLAIM_ANSWER),
                              request_send(&c->comm, &q, sizeof q, 0, TAG_CLAIM)};
    request_wait(requests, 2);
    return a;
}

/* Without a communication thread the others are answered when this rank asks, too. */
static struct answer ask_myself(struct claims *c, int64_t wanted, int64_t done)
{
    progress_poll();
    progress_lock();
    c->done += done;
    const struct answer a = hand_out(c, wanted);
    progress_unlock();
    return a;
}

void claims_next(struct claims *c, int64_t wanted, int64_t done, int64_t *first, int64_t *count)
{
    ASSERT(wanted > 0 && done >= 0);
    const struct answer a = coordinates(c) ? ask_myself(c, wanted, done) : ask(c, wanted, done);
    *first = a.first;
    *count = a.count;
}

void claims_stop(struct claims *c)
{
    if (c->stopped)
        return;
    c->stopped = true;
    if (!coordinates(c)) {
        c->stop = (struct question){.word = STOP};
        c->stopping = request_send(&c->comm, &c->stop, sizeof c->stop, 0, TAG_CLAIM);
        return;
    }
    progress_lock();
    c->end = c->next;
    progress_unlock();
}

int64_t claims_done(const struct claims *c)
{
    progress_lock();
    const int64_t done = c->done;
    progress_unlock();
    return done;
}
