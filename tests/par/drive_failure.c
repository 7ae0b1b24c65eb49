/* What test_failure.sh runs: every rank but one goes into the wait that the first argument names; the last one raises a
 * failure, or is killed, or does nothing, as the second argument says. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "par/agree.h"
#include "par/bucket.h"
#include "par/failure.h"
#include "par/groups.h"
#include "par/mailbox.h"
#include "par/progress.h"
#include "par/sum.h"
#include "par/window.h"

static struct comm world;

static void print_line(void *context, enum log_level level, const char *line)
{
    (void)context;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

static void leave(const struct err *e)
{
    fprintf(stderr, "rank %d leaves: %s\n", world.rank, e->text);
    failure_leave(e);
}

static float x[1 << 16];

static void wait_in_sum(void)
{
    sum_f32(&world, x, 1);
}

static void wait_in_long_sum(void)
{
    sum_f32(&world, x, 1 << 16);
}

static void wait_in_message_sum(void)
{
    window_refuse(&world);
    sum_f32(&world, x, 1);
}

static void wait_in_agree(void)
{
    struct err e = {0};
    agree(&world, &e);
}

static void wait_in_broadcast(void)
{
    comm_broadcast(&world, x, sizeof x, world.size - 1);
}

static void wait_in_split(void)
{
    struct comm c;
    comm_split(&c, &world, 0, 0);
}

static void wait_in_gather(void)
{
    size_t offsets[16], room = 0;
    void *all = NULL;
    gather_bytes(&world, x, 100, &all, &room, offsets, 0);
    comm_barrier(&world); /* the senders do not wait for root */
}

/* The failing rank makes these with the others: only their waits are tested. */
static struct buckets *buckets;
static struct mailbox *mailbox;

static void wait_in_buckets(void)
{
    buckets_start(buckets, 0, x);
    buckets_finish(buckets);
}

static struct comm apart; /* its ranks reach each other by messages */

static void wait_in_started_sum(void)
{
    sum_start(&apart, 1, x, 1 << 16);
    sum_finish(&apart, 1);
}

static void wait_in_mailbox(void)
{
    size_t size;
    mailbox_receive(mailbox, world.size - 1, &size, NULL);
}

/* Never inside par/: learns of nothing, and must not keep the others. */
static void wait_outside(void)
{
    sleep(60);
}

/* A rank that is not there: MPI itself refuses. */
static void wrong_use_of_mpi(void)
{
    size_t offsets[16], room = 0;
    void *all = NULL;
    gather_bytes(&world, x, 100, &all, &room, offsets, 99);
}

static const struct {
    const char *name;
    void (*wait)(void);
} waits[] = {
    {"sum", wait_in_sum},
    {"long_sum", wait_in_long_sum},
    {"agree", wait_in_agree},
    {"message_sum", wait_in_message_sum},
    {"split", wait_in_split},
    {"broadcast", wait_in_broadcast},
    {"gather", wait_in_gather},
    {"buckets", wait_in_buckets},
    {"started_sum", wait_in_started_sum},
    {"mailbox", wait_in_mailbox},
    {"outside", wait_outside},
    {"wrong_use", wrong_use_of_mpi},
};

static _Noreturn void fail(const char *how)
{
    clock_sleep(0.2); /* the others are in their wait by now, most of the time: a failure before it is tested as well */
    struct err e = {0};
    err_set(&e, ERR_INPUT, "weights.bin: cut");
    if (strcmp(how, "kill") == 0)
        raise(SIGKILL);
    failure_raise(&e);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    bool multiple;
    log_set_sink(print_line, NULL);
    comm_start(&world, &multiple);
    failure_start(&world, leave);
    progress_start(multiple);
    const int64_t bounds[] = {0, 1 << 16};
    const int sources[] = {world.size - 1};
    buckets = buckets_new(&world, bounds, 1);
    mailbox = mailbox_new(&world, sources, 1);
    comm_duplicate(&apart, &world);
    window_refuse(&apart);
    sum_start(&apart, 0, x, 1);
    sum_finish(&apart, 0);
    /* "all": every rank fails at the same time; "none": the wait itself is what fails */
    const bool last = world.rank == world.size - 1;
    if (strcmp(argv[2], "none") != 0 && (last || strcmp(argv[2], "all") == 0))
        fail(argv[2]);
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
        if (strcmp(argv[1], waits[i].name) == 0)
            waits[i].wait();
    return 1; /* no wait may end */
}
