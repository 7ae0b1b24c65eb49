/* Who is who: pure functions from (host, role) of every rank and the shapes of the groups to places. groups.c gathers
 * the facts and makes the communicators; nothing here knows MPI, so that every layout can be tested on one rank. */
#ifndef RETORT_PAR_LAYOUT_H
#define RETORT_PAR_LAYOUT_H

#include "par/groups.h"

/* What is known of one world rank. */
struct layout_rank {
    int host;       /* the lowest world rank of its host */
    enum role role; /* from --role, else ROLE_ANY */
};

/* order[i] becomes the world rank at place i: those with the teacher's role first (if roles are named), within them by
 * (host, world rank). */
void layout_order(const struct layout_rank *ranks, int n, int *order);

/* Roles named in an MPMD launch: none, or all, and as many as the shapes (resolved) take. ERR_USAGE otherwise. */
int layout_check_roles(const struct layout_rank *ranks, int n, const struct group_shape *teacher,
                       const struct group_shape *student, struct err *e);

/* Ranks of a group; 0 if it does not exist. */
int layout_ranks(const struct group_shape *shape);

/* Place i of a job whose teachers come first; shapes are resolved. */
struct place layout_place(int i, const struct group_shape *teacher, const struct group_shape *student);

/* The other way: the place i of a replica's first rank (stage 0, shard 0). */
int layout_leader(enum role role, int replica, const struct group_shape *teacher, const struct group_shape *student);

/* Hosts counted by their lowest world rank; *mine is the number of rank's host. */
int layout_hosts(const struct layout_rank *ranks, int n, int rank, int *mine);

#endif
