/* See layout.h; groups_resolve and shard_range of groups.h stand here, too. */
#include "par/layout.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"

void shard_range(int64_t n, int p, int P, int64_t *first, int64_t *end)
{
    ASSERT(n >= 0 && p >= 0 && p < P);
    /* p n / P without the product, which may not fit: n = q P + r */
    const int64_t q = n / P, r = n % P;
    *first = q * p + r * p / P;
    *end = q * (p + 1) + r * (p + 1) / P;
}

/* Ranks of one replica; saturates, since a job spec may say anything. */
static int64_t replica_ranks(const struct group_shape *s)
{
    return (int64_t)s->tensor_parallel * s->pipeline_parallel;
}

/* What the group takes, at least one replica. Beyond 2^40 nobody has ranks: enough to compare and to print. */
static int64_t least_ranks(const struct group_shape *s)
{
    int64_t n;
    const int64_t most = (int64_t)1 << 40;
    if (__builtin_mul_overflow(replica_ranks(s), (int64_t)(s->replicas ? s->replicas : 1), &n) || n > most)
        return most;
    return n;
}

static int check_shape(const struct group_shape *s, const char *name, struct err *e)
{
    if (s->tensor_parallel < 1)
        return err_set(e, ERR_USAGE, "ranks.%s.tensor_parallel is %d; it must be at least 1", name, s->tensor_parallel);
    if (s->pipeline_parallel < 1)
        return err_set(e, ERR_USAGE, "ranks.%s.pipeline_parallel is %d; it must be at least 1", name,
                       s->pipeline_parallel);
    if (s->replicas < 0)
        return err_set(e, ERR_USAGE, "ranks.%s.replicas is %d; it must be at least 1, or auto", name, s->replicas);
    return 0;
}

/* "2 x 8", or "2 x 8 x 4" with stages: replicas, tensor_parallel, pipeline_parallel. */
static const char *shape_text(char out[48], const struct group_shape *s)
{
    const int replicas = s->replicas ? s->replicas : 1;
    if (s->pipeline_parallel == 1)
        snprintf(out, 48, "%d x %d", replicas, s->tensor_parallel);
    else
        snprintf(out, 48, "%d x %d x %d", replicas, s->tensor_parallel, s->pipeline_parallel);
    return out;
}

/* All ranks are of one role: as many replicas as fit, nothing left over. */
static int resolve_alone(struct group_shape *s, const char *name, int ranks, struct err *e)
{
    const int64_t one = replica_ranks(s);
    if (ranks % one != 0)
        return err_set(e, ERR_USAGE,
                       "ranks.%s: a replica takes tensor_parallel %d x pipeline_parallel %d ranks, and this launch has "
                       "%d, which is no multiple; start %lld ranks or change ranks.%s",
                       name, s->tensor_parallel, s->pipeline_parallel, ranks,
                       (long long)(ranks < one ? one : ranks - ranks % one), name);
    s->replicas = (int)(ranks / one);
    return 0;
}

static int add_up(const struct group_shape *teacher, const struct group_shape *student, const char *need, int ranks,
                  struct err *e)
{
    char t[48], s[48];
    const int64_t sum = least_ranks(teacher) + least_ranks(student);
    return err_set(
        e, ERR_USAGE,
        "ranks.teacher %s + ranks.student %s need %s %lld ranks, this launch has %d; start as many or change "
        "ranks.teacher or ranks.student",
        shape_text(t, teacher), shape_text(s, student), need, (long long)sum, ranks);
}

/* Gives `open`, whose replicas are auto, what `fixed` leaves. */
static int take_the_rest(struct group_shape *open, const char *name, const struct group_shape *fixed, int ranks,
                         struct err *e)
{
    const int64_t left = ranks - least_ranks(fixed), one = replica_ranks(open);
    if (left % one != 0)
        return err_set(e, ERR_USAGE,
                       "ranks.%s.replicas is auto: %lld of %d ranks are left for it, no multiple of the %lld that a "
                       "replica takes; start %lld ranks or change ranks.%s",
                       name, (long long)left, ranks, (long long)one, (long long)(ranks - left % one), name);
    open->replicas = (int)(left / one);
    return 0;
}

static int resolve_both(struct group_shape *teacher, struct group_shape *student, int ranks, struct err *e)
{
    const bool open = !teacher->replicas || !student->replicas;
    if (!teacher->replicas && !student->replicas)
        return err_set(e, ERR_USAGE,
                       "ranks.teacher.replicas and ranks.student.replicas are both auto; give one of them");
    const int64_t least = least_ranks(teacher) + least_ranks(student);
    if (open ? least > ranks : least != ranks)
        return add_up(teacher, student, open ? "at least" : "exactly", ranks, e);
    if (!teacher->replicas)
        return take_the_rest(teacher, "teacher", student, ranks, e);
    return student->replicas ? 0 : take_the_rest(student, "student", teacher, ranks, e);
}

int groups_resolve(struct group_shape *teacher, struct group_shape *student, enum group_plan plan, int ranks,
                   struct err *e)
{
    ASSERT(ranks >= 1);
    struct group_shape t = plan == GROUPS_ALL_STUDENTS ? (struct group_shape){0, 1, 1} : *teacher;
    struct group_shape s = plan == GROUPS_ALL_TEACHERS ? (struct group_shape){0, 1, 1} : *student;
    if (check_shape(&t, "teacher", e) || check_shape(&s, "student", e))
        return -1;
    int failed;
    if (plan == GROUPS_BOTH)
        failed = resolve_both(&t, &s, ranks, e);
    else
        failed = plan == GROUPS_ALL_TEACHERS ? resolve_alone(&t, "teacher", ranks, e)
                                             : resolve_alone(&s, "student", ranks, e);
    if (failed)
        return -1;
    *teacher = t;
    *student = s;
    return 0;
}

int layout_ranks(const struct group_shape *shape)
{
    return shape->replicas * shape->tensor_parallel * shape->pipeline_parallel;
}

struct key {
    int role, host, rank;
};

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    if (x->role != y->role)
        return x->role < y->role ? -1 : 1;
    if (x->host != y->host)
        return x->host < y->host ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

void layout_order(const struct layout_rank *ranks, int n, int *order)
{
    struct key *keys = mem_array((size_t)n, sizeof *keys);
    for (int r = 0; r < n; r++)
        keys[r] = (struct key){(int)ranks[r].role, ranks[r].host, r};
    qsort(keys, (size_t)n, sizeof *keys, compare_keys);
    for (int i = 0; i < n; i++)
        order[i] = keys[i].rank;
    mem_free(keys);
}

static int first_with(const struct layout_rank *ranks, int n, bool named)
{
    for (int r = 0; r < n; r++)
        if ((ranks[r].role != ROLE_ANY) == named)
            return r;
    return -1;
}

int layout_check_roles(const struct layout_rank *ranks, int n, const struct group_shape *teacher,
                       const struct group_shape *student, struct err *e)
{
    const int named = first_with(ranks, n, true), unnamed = first_with(ranks, n, false);
    if (named < 0)
        return 0;
    if (unnamed >= 0)
        return err_set(e, ERR_USAGE, "rank %d has --role and rank %d has not; give every part of the launch a --role",
                       named, unnamed);
    int teachers = 0;
    for (int r = 0; r < n; r++)
        teachers += ranks[r].role == ROLE_TEACHER;
    if (teachers == layout_ranks(teacher))
        return 0;
    return err_set(e, ERR_USAGE,
                   "--role: %d ranks were started as teachers and %d as students, but the job has %d teachers and %d "
                   "students; start as many, or leave --role out",
                   teachers, n - teachers, layout_ranks(teacher), layout_ranks(student));
}

struct place layout_place(int i, const struct group_shape *teacher, const struct group_shape *student)
{
    const int teachers = layout_ranks(teacher);
    const bool teaches = i < teachers;
    const struct group_shape *s = teaches ? teacher : student;
    i -= teaches ? 0 : teachers;
    return (struct place){
        .role = teaches ? ROLE_TEACHER : ROLE_STUDENT,
        .shard = i % s->tensor_parallel,
        .stage = i / s->tensor_parallel % s->pipeline_parallel,
        .replica = i / s->tensor_parallel / s->pipeline_parallel,
    };
}

int layout_leader(enum role role, int replica, const struct group_shape *teacher, const struct group_shape *student)
{
    if (role == ROLE_TEACHER)
        return replica * teacher->tensor_parallel * teacher->pipeline_parallel;
    return layout_ranks(teacher) + replica * student->tensor_parallel * student->pipeline_parallel;
}

int layout_hosts(const struct layout_rank *ranks, int n, int rank, int *mine)
{
    int hosts = 0;
    *mine = 0;
    for (int r = 0; r < n; r++) {
        const bool first_of_host = ranks[r].host == r;
        *mine += first_of_host && r < ranks[rank].host;
        hosts += first_of_host;
    }
    return hosts;
}
