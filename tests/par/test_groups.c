/* Groups as communicators: sizes and ranks of each, leaders, roles of an MPMD launch, refusals on all ranks alike. */
#include "mpi_test.h"

#include "base/mem.h"
#include "base/strbuf.h"
#include "par/agree.h"
#include "par/groups.h"

/* Every communicator says what the place says. Ranks of one host keep their order: place i is world rank i. */
static void assert_layout(const struct groups *g)
{
    const bool teaches = g->me.role == ROLE_TEACHER;
    const struct group_shape *s = teaches ? &g->teacher : &g->student;
    const int teachers = g->teacher.replicas * g->teacher.tensor_parallel * g->teacher.pipeline_parallel;
    const int in_group = (g->me.replica * s->pipeline_parallel + g->me.stage) * s->tensor_parallel + g->me.shard;
    assert_int_equal(teaches, world.rank < teachers);
    assert_int_equal(world.rank, in_group + (teaches ? 0 : teachers));
    assert_int_equal(g->group.rank, in_group);
    assert_int_equal(g->group.size, s->replicas * s->pipeline_parallel * s->tensor_parallel);
    assert_int_equal(g->shards.rank, g->me.shard);
    assert_int_equal(g->shards.size, s->tensor_parallel);
    assert_int_equal(g->replicas.rank, g->me.replica);
    assert_int_equal(g->replicas.size, s->replicas);
    assert_int_equal(g->host.size, world.size);
    assert_true(g->hosts == 1 && g->my_host == 0);
}

/* The members are the right ones, not only as many: each communicator sums world ranks. */
static void assert_members(const struct groups *g)
{
    const struct group_shape *s = g->me.role == ROLE_TEACHER ? &g->teacher : &g->student;
    const int stride = s->tensor_parallel * s->pipeline_parallel;
    float shards = (float)world.rank, replicas = (float)world.rank;
    sum_f32(&g->shards, &shards, 1);
    sum_f32(&g->replicas, &replicas, 1);
    const int first_shard = world.rank - g->me.shard, first_replica = world.rank - g->me.replica * stride;
    int expect_shards = 0, expect_replicas = 0;
    for (int i = 0; i < s->tensor_parallel; i++)
        expect_shards += first_shard + i;
    for (int i = 0; i < s->replicas; i++)
        expect_replicas += first_replica + i * stride;
    assert_int_equal((int)shards, expect_shards);
    assert_int_equal((int)replicas, expect_replicas);
    if (g->me.stage == 0 && g->me.shard == 0)
        assert_int_equal(g->leader[g->me.role][g->me.replica], world.rank);
}

static void try_layout(struct group_shape teacher, struct group_shape student, enum group_plan plan)
{
    struct groups g;
    struct err e = {0};
    assert_done(groups_open(&g, &world, teacher, student, plan, ROLE_ANY, &e), &e);
    assert_layout(&g);
    assert_members(&g);
    groups_close(&g);
}

static void every_split(void **state)
{
    (void)state;
    const int n = world.size;
    for (int tp = 1; tp < n; tp++) {
        try_layout((struct group_shape){1, tp, 1}, (struct group_shape){0, 1, 1}, GROUPS_BOTH);
        try_layout((struct group_shape){1, 1, tp}, (struct group_shape){0, 1, 1}, GROUPS_BOTH);
        try_layout((struct group_shape){0, 1, 1}, (struct group_shape){1, tp, 1}, GROUPS_BOTH);
    }
    for (int tp = 1; tp <= n; tp++)
        if (n % tp == 0) {
            try_layout((struct group_shape){9, 9, 9}, (struct group_shape){0, tp, 1}, GROUPS_ALL_STUDENTS);
            try_layout((struct group_shape){0, tp, 1}, (struct group_shape){9, 9, 9}, GROUPS_ALL_TEACHERS);
        }
    if (n == 6)
        try_layout((struct group_shape){2, 1, 2}, (struct group_shape){1, 2, 1}, GROUPS_BOTH);
}

/* The last rank is the only teacher, as in `mpirun -n N-1 ... --role student : -n 1 ... --role teacher`. */
static void named_roles(void **state)
{
    (void)state;
    if (world.size == 1)
        return;
    const bool teaches = world.rank == world.size - 1;
    struct groups g;
    struct err e = {0};
    const struct group_shape one = {1, 1, 1}, rest = {0, 1, 1};
    assert_done(groups_open(&g, &world, one, rest, GROUPS_BOTH, teaches ? ROLE_TEACHER : ROLE_STUDENT, &e), &e);
    assert_int_equal(g.me.role, teaches ? ROLE_TEACHER : ROLE_STUDENT);
    assert_int_equal(g.leader[ROLE_TEACHER][0], world.size - 1);
    for (int r = 0; r < world.size - 1; r++)
        assert_int_equal(g.leader[ROLE_STUDENT][r], r);
    assert_int_equal(g.group.size, teaches ? 1 : world.size - 1);
    groups_close(&g);

    /* no rank says that it is a teacher; then only one rank says anything */
    assert_int_equal(groups_open(&g, &world, one, rest, GROUPS_BOTH, ROLE_STUDENT, &e), -1);
    assert_int_equal(e.code, ERR_USAGE);
    assert_non_null(strstr(e.text, "0 ranks were started as teachers"));
    err_clear(&e);
    assert_int_equal(groups_open(&g, &world, one, rest, GROUPS_BOTH, teaches ? ROLE_TEACHER : ROLE_ANY, &e), -1);
    assert_non_null(strstr(e.text, "--role"));
}

static void refusals_are_the_same_everywhere(void **state)
{
    (void)state;
    struct groups g;
    struct err e = {0};
    const struct group_shape too_many = {world.size, 1, 1}, one = {1, 1, 1};
    assert_int_equal(groups_open(&g, &world, too_many, one, GROUPS_BOTH, ROLE_ANY, &e), -1);
    assert_int_equal(agree(&world, &e), -1);
    assert_int_equal(e.code, ERR_USAGE);
    assert_null(strstr(e.text, "rank 0:")); /* the same text on all ranks */
}

static void collect(void *context, const char *text)
{
    strbuf_printf(context, "%s\n", text);
}

static void start_up_lines(void **state)
{
    (void)state;
    struct groups g;
    struct err e = {0};
    assert_done(groups_open(&g, &world, (struct group_shape){0, 1, 1}, (struct group_shape){0, 1, 1},
                            GROUPS_ALL_STUDENTS, ROLE_ANY, &e),
                &e);
    struct strbuf lines;
    strbuf_init(&lines);
    char *detail = mem_printf("%d bytes", 100 + world.rank);
    groups_describe(&g, 2, detail, collect, &lines);
    if (world.rank == 0) {
        const char *at = lines.data;
        for (int r = 0; r < world.size; r++) {
            char *expect =
                mem_printf("student replica %d of %d, shard 0 of 1, 2 threads, %d bytes\n", r, world.size, 100 + r);
            char *begin = mem_printf("rank %d on ", r);
            assert_memory_equal(at, begin, strlen(begin));
            at = strstr(at, expect);
            assert_non_null(at);
            at += strlen(expect);
            mem_free(expect);
            mem_free(begin);
        }
        assert_string_equal(at, "");
    } else {
        assert_int_equal(lines.size, 0);
    }
    mem_free(detail);
    strbuf_release(&lines);
    groups_close(&g);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_split),
        cmocka_unit_test(named_roles),
        cmocka_unit_test(refusals_are_the_same_everywhere),
        cmocka_unit_test(start_up_lines),
    };
    return mpi_test_run(argc, argv, tests, sizeof tests / sizeof *tests);
}
