/* Records from teachers to students, made up: order, contents, the bound that permits set, in layouts of 2 to 4 ranks,
 * windows of 1 and 8, with everybody now and then late. A deadlock shows as a timeout. */
#include "mpi_test.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "label/stream.h"

enum { ITEMS = 40, PER_STEP = 5, LARGEST = 30000, ENVELOPE = 64 };

struct layout {
    struct groups groups;
    struct stream *stream;
    int window;
    struct rng delays;
};

static int maker_of(const struct layout *l, int64_t item)
{
    return (int)(item % l->groups.teacher.replicas);
}

/* By the place in the step: with steps of 5, teachers and students pair up in every way, and some steps leave a student
 * out. */
static int owner_of(const struct layout *l, int64_t item)
{
    return (int)(item % PER_STEP % l->groups.student.replicas);
}

static void be_late(struct layout *l)
{
    if (rng_below(&l->delays, 4) == 0)
        clock_sleep(0.002 * rng_uniform(&l->delays));
}

/* The bytes of an item: a function of its number; some are empty. */
static unsigned char *make_item(int64_t item, size_t *size)
{
    struct rng r;
    rng_init(&r, 1, (uint64_t)item);
    *size = rng_below(&r, 5) ? rng_below(&r, LARGEST) : 0;
    unsigned char *bytes = mem_alloc(*size);
    for (size_t i = 0; i < *size; i++)
        bytes[i] = (unsigned char)rng_u32(&r);
    return bytes;
}

static void assert_item(int64_t item, void *bytes, size_t size)
{
    size_t expect_size;
    unsigned char *expect = make_item(item, &expect_size);
    assert_int_equal(size, expect_size);
    assert_true(hash64(bytes, size) == hash64(expect, expect_size));
    mem_free(expect);
    mem_free(bytes);
}

static void teach(struct layout *l, int64_t first)
{
    for (int64_t item = first; item < ITEMS; item++) {
        if (maker_of(l, item) != l->groups.me.replica)
            continue;
        stream_wait_permit(l->stream, owner_of(l, item), item);
        be_late(l);
        size_t size;
        void *bytes = make_item(item, &size);
        stream_send(l->stream, owner_of(l, item), item, bytes, size);
    }
}

/* The n-th item after `item` that this student owns; ITEMS if there is none. */
static int64_t next_owned(const struct layout *l, int64_t item, int n)
{
    while (n > 0 && item < ITEMS)
        n -= ++item < ITEMS && owner_of(l, item) == l->groups.me.replica;
    return item;
}

static void learn(struct layout *l, int64_t first)
{
    double waited = 0, teachers_waited = 0;
    for (int64_t item = next_owned(l, first - 1, 1); item < ITEMS; item = next_owned(l, item, 1)) {
        stream_permit(l->stream, next_owned(l, item, l->window - 1) + 1);
        assert_true(stream_backlog(l->stream) <= (size_t)l->window * (LARGEST + ENVELOPE));
        size_t size;
        void *bytes = stream_take(l->stream, maker_of(l, item), item, &size, &waited);
        assert_item(item, bytes, size);
        assert_true(stream_teacher_wait(l->stream) >= teachers_waited);
        teachers_waited = stream_teacher_wait(l->stream);
        be_late(l);
    }
    assert_true(waited >= 0);
}

/* Whether this world has the ranks for it. */
static int run_layout(int teachers, int students, int tensor_parallel, int window, int64_t first)
{
    if ((teachers + students) * tensor_parallel != world.size)
        return 0;
    struct layout l = {.window = window};
    struct err e = {0};
    const struct group_shape teacher = {teachers, tensor_parallel, 1}, student = {students, tensor_parallel, 1};
    assert_done(groups_open(&l.groups, &world, teacher, student, GROUPS_BOTH, ROLE_ANY, &e), &e);
    l.stream = stream_new(&l.groups);
    rng_init(&l.delays, (uint64_t)world.rank, (uint64_t)window);
    if (l.groups.me.shard == 0) {
        if (l.groups.me.role == ROLE_TEACHER)
            teach(&l, first);
        else
            learn(&l, first);
    }
    stream_free(l.stream);
    groups_close(&l.groups);
    return 1;
}

static void every_layout(void **state)
{
    (void)state;
    static const int windows[] = {1, 8};
    int runs = 0;
    for (int w = 0; w < 2; w++)
        for (int teachers = 1; teachers <= 3; teachers++)
            for (int students = 1; students <= 3; students++)
                for (int tensor_parallel = 1; tensor_parallel <= 2; tensor_parallel++)
                    runs += run_layout(teachers, students, tensor_parallel, windows[w], 0);
    assert_true(runs >= 2);
}

static void a_resumed_run_begins_later(void **state)
{
    (void)state;
    assert_int_equal(run_layout(1, world.size - 1, 1, 2, 17), 1);
}

/* Permits that nobody waits for, and a permit that was given before. */
static void what_is_left_over_is_dropped(void **state)
{
    (void)state;
    struct groups g;
    struct err e = {0};
    const struct group_shape teacher = {1, 1, 1}, student = {0, 1, 1};
    assert_done(groups_open(&g, &world, teacher, student, GROUPS_BOTH, ROLE_ANY, &e), &e);
    struct stream *s = stream_new(&g);
    for (int64_t limit = 0; limit < 20 && g.me.role == ROLE_STUDENT; limit++) {
        stream_permit(s, limit);
        stream_permit(s, limit);
        stream_permit(s, limit - 1);
    }
    stream_free(s);
    groups_close(&g);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout),
        cmocka_unit_test(a_resumed_run_begins_later),
        cmocka_unit_test(what_is_left_over_is_dropped),
    };
    return mpi_test_run(argc, argv, tests, sizeof tests / sizeof *tests);
}
