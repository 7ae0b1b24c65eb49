/* Layouts without MPI: shapes that add up or do not, ranks in order over hosts that never were, roles of an MPMD
 * launch. */
#include "test.h"

#include <limits.h>
#include <string.h>

#include "par/layout.h"

static void shards_cover_in_order(void **state)
{
    (void)state;
    const int64_t lengths[] = {0, 1, 3, 9, 64, 576, 49152, INT64_MAX / 2};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
        for (int P = 1; P <= 12; P++) {
            int64_t at = 0;
            for (int p = 0; p < P; p++) {
                int64_t first, end;
                shard_range(lengths[k], p, P, &first, &end);
                assert_true(first == at && end >= first);
                assert_true(end - first >= lengths[k] / P && end - first <= lengths[k] / P + 1);
                at = end;
            }
            assert_true(at == lengths[k]);
        }
}

/* floor(p n / P): the nine query heads of SmolLM2. */
static void nine_heads(void **state)
{
    (void)state;
    const int64_t on_2[] = {0, 4, 9}, on_4[] = {0, 2, 4, 6, 9};
    int64_t first, end;
    for (int p = 0; p < 2; p++) {
        shard_range(9, p, 2, &first, &end);
        assert_true(first == on_2[p] && end == on_2[p + 1]);
    }
    for (int p = 0; p < 4; p++) {
        shard_range(9, p, 4, &first, &end);
        assert_true(first == on_4[p] && end == on_4[p + 1]);
    }
}

struct resolve_case {
    enum group_plan plan;
    struct group_shape teacher, student;
    int ranks;
    int teachers, students; /* replicas expected; -1: refused */
    const char *text;       /* a part of the error */
};

static const struct resolve_case cases[] = {
    {GROUPS_BOTH, {1, 2, 1}, {2, 1, 1}, 4, 1, 2, NULL},
    {GROUPS_BOTH, {1, 2, 1}, {0, 1, 1}, 4, 1, 2, NULL},
    {GROUPS_BOTH, {0, 2, 1}, {1, 2, 1}, 8, 3, 1, NULL},
    {GROUPS_BOTH, {2, 2, 2}, {0, 3, 1}, 14, 2, 2, NULL},
    {GROUPS_BOTH,
     {2, 8, 1},
     {0, 1, 1},
     16,
     -1,
     -1,
     "ranks.teacher 2 x 8 + ranks.student 1 x 1 need at least 17 ranks, this launch has 16"},
    {GROUPS_BOTH, {1, 2, 1}, {2, 1, 1}, 3, -1, -1, "need exactly 4 ranks, this launch has 3"},
    {GROUPS_BOTH, {1, 2, 1}, {2, 1, 1}, 5, -1, -1, "need exactly 4 ranks, this launch has 5"},
    {GROUPS_BOTH, {1, 2, 3}, {1, 1, 1}, 5, -1, -1, "ranks.teacher 1 x 2 x 3 + ranks.student 1 x 1"},
    {GROUPS_BOTH, {1, 2, 1}, {0, 2, 1}, 5, -1, -1, "3 of 5 ranks are left for it, no multiple of the 2"},
    {GROUPS_BOTH, {0, 1, 1}, {0, 1, 1}, 4, -1, -1, "both auto"},
    {GROUPS_BOTH, {1, 0, 1}, {0, 1, 1}, 4, -1, -1, "ranks.teacher.tensor_parallel is 0"},
    {GROUPS_BOTH, {1, 1, 1}, {1, 1, 0}, 4, -1, -1, "ranks.student.pipeline_parallel is 0"},
    {GROUPS_BOTH, {-1, 1, 1}, {0, 1, 1}, 4, -1, -1, "ranks.teacher.replicas is -1"},
    {GROUPS_BOTH, {INT_MAX, INT_MAX, INT_MAX}, {0, 1, 1}, 4, -1, -1, "need at least"},
    {GROUPS_ALL_STUDENTS, {7, 8, 9}, {5, 2, 1}, 6, 0, 3, NULL},
    {GROUPS_ALL_STUDENTS, {1, 0, -3}, {0, 1, 1}, 1, 0, 1, NULL},
    {GROUPS_ALL_STUDENTS, {1, 1, 1}, {0, 4, 1}, 6, -1, -1, "this launch has 6, which is no multiple; start 4 ranks"},
    {GROUPS_ALL_STUDENTS, {1, 1, 1}, {0, 4, 1}, 3, -1, -1, "start 4 ranks"},
    {GROUPS_ALL_TEACHERS, {9, 2, 2}, {0, 0, 0}, 8, 2, 0, NULL},
    {GROUPS_ALL_TEACHERS, {1, INT_MAX, INT_MAX}, {0, 1, 1}, 8, -1, -1, "no multiple"},
};

static void shapes_resolve(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const struct resolve_case *c = &cases[k];
        struct group_shape t = c->teacher, s = c->student;
        struct err e = {0};
        const int rc = groups_resolve(&t, &s, c->plan, c->ranks, &e);
        if (!c->text) {
            assert_done(rc, &e);
            assert_int_equal(t.replicas, c->teachers);
            assert_int_equal(s.replicas, c->students);
            assert_int_equal(layout_ranks(&t) + layout_ranks(&s), c->ranks);
            continue;
        }
        assert_int_equal(rc, -1);
        assert_int_equal(e.code, ERR_USAGE);
        if (!strstr(e.text, c->text))
            fail_msg("case %zu: \"%s\" does not say \"%s\"", k, e.text, c->text);
        /* outputs are untouched on failure */
        assert_memory_equal(&t, &c->teacher, sizeof t);
        assert_memory_equal(&s, &c->student, sizeof s);
    }
}

/* Round-robin over three hosts, as a launcher with --map-by node gives it. */
static void order_is_by_host(void **state)
{
    (void)state;
    struct layout_rank ranks[8];
    for (int r = 0; r < 8; r++)
        ranks[r] = (struct layout_rank){.host = r % 3, .role = ROLE_ANY};
    int order[8];
    layout_order(ranks, 8, order);
    const int expect[8] = {0, 3, 6, 1, 4, 7, 2, 5};
    assert_memory_equal(order, expect, sizeof expect);
    int mine;
    assert_int_equal(layout_hosts(ranks, 8, 5, &mine), 3);
    assert_int_equal(mine, 2);
    assert_int_equal(layout_hosts(ranks, 8, 6, &mine), 3);
    assert_int_equal(mine, 0);
}

/* Students first on the command line, teachers on other hosts: teachers still come first in the order. */
static void named_roles_come_first(void **state)
{
    (void)state;
    const struct layout_rank ranks[5] = {
        {0, ROLE_STUDENT}, {1, ROLE_STUDENT}, {1, ROLE_TEACHER}, {0, ROLE_TEACHER}, {1, ROLE_TEACHER}};
    int order[5];
    layout_order(ranks, 5, order);
    const int expect[5] = {3, 2, 4, 0, 1};
    assert_memory_equal(order, expect, sizeof expect);
}

static void roles_are_checked(void **state)
{
    (void)state;
    struct group_shape teacher = {1, 2, 1}, student = {1, 1, 1};
    struct layout_rank ranks[3] = {{0, ROLE_TEACHER}, {0, ROLE_STUDENT}, {0, ROLE_TEACHER}};
    struct err e = {0};
    assert_done(layout_check_roles(ranks, 3, &teacher, &student, &e), &e);

    ranks[2].role = ROLE_STUDENT;
    assert_int_equal(layout_check_roles(ranks, 3, &teacher, &student, &e), -1);
    assert_int_equal(e.code, ERR_USAGE);
    assert_non_null(strstr(e.text, "1 ranks were started as teachers and 2 as students"));

    err_clear(&e);
    ranks[2].role = ROLE_ANY;
    assert_int_equal(layout_check_roles(ranks, 3, &teacher, &student, &e), -1);
    assert_non_null(strstr(e.text, "rank 0 has --role and rank 2 has not"));

    err_clear(&e);
    ranks[0].role = ranks[1].role = ROLE_ANY;
    assert_done(layout_check_roles(ranks, 3, &teacher, &student, &e), &e);
}

static void places_count_up(void **state)
{
    (void)state;
    const struct group_shape teacher = {2, 2, 3}, student = {2, 2, 1};
    int i = 0;
    for (int replica = 0; replica < 2; replica++)
        for (int stage = 0; stage < 3; stage++)
            for (int shard = 0; shard < 2; shard++, i++) {
                const struct place p = layout_place(i, &teacher, &student);
                assert_int_equal(p.role, ROLE_TEACHER);
                assert_true(p.replica == replica && p.stage == stage && p.shard == shard);
                if (stage == 0 && shard == 0)
                    assert_int_equal(layout_leader(ROLE_TEACHER, replica, &teacher, &student), i);
            }
    for (int replica = 0; replica < 2; replica++)
        for (int shard = 0; shard < 2; shard++, i++) {
            const struct place p = layout_place(i, &teacher, &student);
            assert_int_equal(p.role, ROLE_STUDENT);
            assert_true(p.replica == replica && p.stage == 0 && p.shard == shard);
            if (shard == 0)
                assert_int_equal(layout_leader(ROLE_STUDENT, replica, &teacher, &student), i);
        }
    assert_int_equal(i, layout_ranks(&teacher) + layout_ranks(&student));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_cover_in_order),  cmocka_unit_test(nine_heads),
        cmocka_unit_test(shapes_resolve),         cmocka_unit_test(order_is_by_host),
        cmocka_unit_test(named_roles_come_first), cmocka_unit_test(roles_are_checked),
        cmocka_unit_test(places_count_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
