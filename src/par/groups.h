/* The ranks of a job and their roles: a teacher group and a student group, each of `replicas` whole models, each
 * replica of `pipeline_parallel` stages of `tensor_parallel` shards.
 *
 * Ranks are ordered by (lowest world rank of their host, world rank), so that a replica stays on one host where it
 * fits; teachers come first; then shard fastest, stage, replica (SEMANTICS, Who runs what). */
#ifndef RETORT_PAR_GROUPS_H
#define RETORT_PAR_GROUPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "par/comm.h"

enum role { ROLE_TEACHER, ROLE_STUDENT, ROLE_ANY };

struct group_shape {
    int replicas; /* 0: as many as the ranks that are left give ("auto") */
    int tensor_parallel, pipeline_parallel;
};

/* Where a rank stands in its group. */
struct place {
    enum role role;
    int replica, stage, shard;
};

struct groups {
    const struct comm *world; /* borrowed */
    struct place me;
    struct group_shape teacher, student; /* resolved; replicas 0: the group does not exist */
    struct comm group;                   /* all ranks of my role, in order */
    struct comm shards;                  /* my replica's stage: its tensor-parallel ranks, rank = shard */
    struct comm replicas;                /* my shard in every replica of my group, rank = replica */
    struct comm host;                    /* all ranks of the job on this host */
    int hosts, my_host;                  /* hosts counted by lowest world rank */
    int *leader[2];                      /* [role][replica]: world rank of stage 0, shard 0; owned */
};

/* Whether this rank speaks for its replica: stage 0, shard 0. */
static inline bool groups_leads(const struct groups *g)
{
    return g->me.stage == 0 && g->me.shard == 0;
}

/* Who exists: in `stream` both groups, else all ranks are of one role. */
enum group_plan { GROUPS_BOTH, GROUPS_ALL_STUDENTS, GROUPS_ALL_TEACHERS };

/* Local. Fills in `auto`, checks that the ranks add up: ERR_USAGE with a text that says how many ranks the job needs
 * and how many there are ("ranks.teacher 2 x 8 + ranks.student 1 x 1 need at least 17 ranks, this launch has 16"). */
int groups_resolve(struct group_shape *teacher, struct group_shape *student, enum group_plan plan, int ranks,
                   struct err *e);

/* Collective over world. role: from --role in an MPMD launch, ROLE_ANY otherwise; if ranks name roles, all must, and
 * their counts must match the shapes. Shapes are resolved inside. */
int groups_open(struct groups *g, const struct comm *world, struct group_shape teacher, struct group_shape student,
                enum group_plan plan, enum role role, struct err *e);
void groups_close(struct groups *g);

/* Collective over world: root gets one line per rank: host, role, replica, shard, threads, and `detail` (bytes of
 * weights, for instance) in the order of groups; calls line(context, text) for each on world rank 0 only. */
void groups_describe(const struct groups *g, int threads, const char *detail,
                     void (*line)(void *context, const char *text), void *context);

/* Elements [first, end) that shard p of P holds of n: floor(p n / P) .. floor((p + 1) n / P) (SEMANTICS, heads). */
void shard_range(int64_t n, int p, int P, int64_t *first, int64_t *end);

#endif
