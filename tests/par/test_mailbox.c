/* Mailboxes: order per pair, sizes from none to several fragments, the backlog, random traffic of all with all. */
#include "mpi_test.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "par/mailbox.h"

static struct mailbox *open_to_all(void)
{
    int all[16];
    for (int r = 0; r < world.size; r++)
        all[r] = r;
    return mailbox_new(&world, all, world.size);
}

/* Message number k from one rank to another: its size and its bytes follow from these three. */
static unsigned char *make_message(int from, int to, int k, size_t *size)
{
    struct rng r;
    rng_init(&r, (uint64_t)k, (uint64_t)(from * 1000 + to));
    const size_t sizes[] = {0, 1, 8, 4087, 4088, 4089, 5000, 100000};
    *size = rng_below(&r, 2) ? sizes[rng_below(&r, 8)] : rng_below(&r, 20000);
    unsigned char *bytes = mem_alloc(*size);
    for (size_t i = 0; i < *size; i++)
        bytes[i] = (unsigned char)rng_u32(&r);
    return bytes;
}

static void assert_message(const void *bytes, size_t size, int from, int k)
{
    size_t expect_size;
    unsigned char *expect = make_message(from, world.rank, k, &expect_size);
    assert_int_equal(size, expect_size);
    assert_true(hash64(bytes, size) == hash64(expect, expect_size));
    mem_free(expect);
}

static void send_message(struct mailbox *m, int to, int k)
{
    size_t size;
    unsigned char *bytes = make_message(world.rank, to, k, &size);
    mailbox_send(m, to, bytes, size);
}

/* Every rank sends 60 messages to every rank, itself included, and takes them in an order of its own. */
static void all_to_all(void **state)
{
    (void)state;
    enum { MESSAGES = 60 };
    struct mailbox *m = open_to_all();
    for (int k = 0; k < MESSAGES; k++)
        for (int to = 0; to < world.size; to++)
            send_message(m, to, k);
    int taken[16] = {0};
    struct rng r;
    rng_init(&r, 1, (uint64_t)world.rank);
    for (int left = MESSAGES * world.size; left > 0; left--) {
        int from = (int)rng_below(&r, (uint64_t)world.size);
        while (taken[from] == MESSAGES)
            from = (from + 1) % world.size;
        size_t size;
        double waited = 0;
        void *bytes = mailbox_receive(m, from, &size, &waited);
        assert_true(waited >= 0);
        assert_message(bytes, size, from, taken[from]++);
        mem_free(bytes);
    }
    mailbox_free(m);
}

/* Requests and answers in turn, as permits and records go. */
static void ping_pong(void **state)
{
    (void)state;
    struct mailbox *m = open_to_all();
    const int next = (world.rank + 1) % world.size, previous = (world.rank + world.size - 1) % world.size;
    for (int k = 0; k < 200; k++) {
        send_message(m, next, k);
        size_t size;
        void *bytes = mailbox_receive(m, previous, &size, NULL);
        assert_message(bytes, size, previous, k);
        mem_free(bytes);
    }
    mailbox_free(m);
}

/* 50 MB and some bytes: four fragments. A small message behind it stays behind it. */
static void huge_message(void **state)
{
    (void)state;
    const size_t huge = 50000003;
    struct mailbox *m = open_to_all();
    const int next = (world.rank + 1) % world.size, previous = (world.rank + world.size - 1) % world.size;
    uint64_t *bytes = mem_alloc(huge + 8);
    for (size_t i = 0; i < huge / 8 + 1; i++)
        bytes[i] = i * 0x9e3779b97f4a7c15u + (uint64_t)world.rank;
    mailbox_send(m, next, bytes, huge);
    send_message(m, next, 5);
    size_t size;
    unsigned char *got = mailbox_receive(m, previous, &size, NULL);
    assert_int_equal(size, huge);
    for (size_t i = 0; i < huge / 8; i++) {
        uint64_t v;
        memcpy(&v, got + 8 * i, 8);
        if (v != i * 0x9e3779b97f4a7c15u + (uint64_t)previous)
            fail_msg("word %zu is wrong", i);
    }
    mem_free(got);
    got = mailbox_receive(m, previous, &size, NULL);
    assert_message(got, size, previous, 5);
    mem_free(got);
    mailbox_free(m);
}

static void try_and_backlog(void **state)
{
    (void)state;
    struct mailbox *m = open_to_all();
    size_t size;
    assert_null(mailbox_try(m, world.rank, &size));
    assert_int_equal(mailbox_backlog(m), 0);
    mailbox_send(m, world.rank, mem_alloc(1000), 1000);
    assert_true(mailbox_backlog(m) >= 1000);
    void *bytes;
    while (!(bytes = mailbox_try(m, world.rank, &size)))
        continue;
    assert_int_equal(size, 1000);
    mem_free(bytes);
    /* the sender's side may still hold it until it has seen that it left */
    while (mailbox_backlog(m))
        progress_poll();
    mailbox_free(m);
}

/* What nobody takes is dropped at the end, small or in fragments: ASan watches that it is freed. */
static void untaken_mail_is_dropped(void **state)
{
    (void)state;
    struct mailbox *m = open_to_all();
    for (int to = 0; to < world.size; to++) {
        mailbox_send(m, to, mem_alloc(10), 10);
        mailbox_send(m, to, mem_alloc(300000), 300000);
        mailbox_send(m, to, mem_alloc(4100), 4100);
    }
    mailbox_free(m);
    mailbox_free(NULL);
}

/* The communication thread alone sends and receives: this rank calls nothing that polls while it waits. Each rank sends
 * another size, so the backlog says what is left here: first the own message, in the end the other one's. */
static void the_thread_moves_traffic(void **state)
{
    (void)state;
    if (!threaded || world.size == 1)
        return;
    struct mailbox *m = open_to_all();
    const int next = (world.rank + 1) % world.size, previous = (world.rank + world.size - 1) % world.size;
    const size_t mine = 1000000 * (size_t)(world.rank + 1), theirs = 1000000 * (size_t)(previous + 1);
    mailbox_send(m, next, mem_alloc(mine), mine);
    for (int rounds = 0; mailbox_backlog(m) != theirs; rounds++) {
        assert_true(rounds < 20000);
        clock_sleep(1e-3);
    }
    mailbox_free(m);
}

/* Two mailboxes over one communicator do not see each other's mail. */
static void mailboxes_are_apart(void **state)
{
    (void)state;
    struct mailbox *a = open_to_all(), *b = open_to_all();
    const int next = (world.rank + 1) % world.size, previous = (world.rank + world.size - 1) % world.size;
    send_message(a, next, 1);
    send_message(b, next, 2);
    size_t size;
    void *bytes = mailbox_receive(b, previous, &size, NULL);
    assert_message(bytes, size, previous, 2);
    mem_free(bytes);
    bytes = mailbox_receive(a, previous, &size, NULL);
    assert_message(bytes, size, previous, 1);
    mem_free(bytes);
    mailbox_free(b);
    mailbox_free(a);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_to_all),
        cmocka_unit_test(ping_pong),
        cmocka_unit_test(huge_message),
        cmocka_unit_test(try_and_backlog),
        cmocka_unit_test(untaken_mail_is_dropped),
        cmocka_unit_test(mailboxes_are_apart),
        cmocka_unit_test(the_thread_moves_traffic),
    };
    return mpi_test_run(argc, argv, tests, sizeof tests / sizeof *tests);
}
