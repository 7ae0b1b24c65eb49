#include "par/groups.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "par/layout.h"
#include "par/request.h"
#include "par/sum.h"

/* Collective. What every rank is and where, to every rank. */
static struct layout_rank *exchange_facts(const struct comm *world, const struct comm *host, enum role role)
{
    const struct layout_rank mine = {.host = (int)comm_min(host, world->rank), .role = role};
    struct layout_rank *all = mem_array((size_t)world->size, sizeof *all);
    MPI_Request r;
    MPI_Iallgather(&mine, (int)sizeof mine, MPI_BYTE, all, (int)sizeof mine, MPI_BYTE, world->mpi, &r);
    request_wait(&r, 1);
    return all;
}

static int my_index(const struct groups *g)
{
    const bool teaches = g->me.role == ROLE_TEACHER;
    return g->group.rank + (teaches ? 0 : layout_ranks(&g->teacher));
}

/* A group's colors must differ from the other group's: each takes every second number. */
static int color(const struct groups *g, int number)
{
    return 2 * number + (g->me.role == ROLE_STUDENT);
}

static void split(struct groups *g, const struct comm *world, int index)
{
    const struct place *me = &g->me;
    const struct group_shape *s = me->role == ROLE_TEACHER ? &g->teacher : &g->student;
    comm_split(&g->group, world, color(g, 0), index);
    comm_split(&g->shards, world, color(g, me->replica * s->pipeline_parallel + me->stage), me->shard);
    comm_split(&g->replicas, world, color(g, me->stage * s->tensor_parallel + me->shard), me->replica);
}

static void name_leaders(struct groups *g, const int *order)
{
    const struct group_shape *shapes[2] = {&g->teacher, &g->student};
    for (int role = ROLE_TEACHER; role <= ROLE_STUDENT; role++) {
        g->leader[role] = mem_array((size_t)shapes[role]->replicas, sizeof(int));
        for (int r = 0; r < shapes[role]->replicas; r++)
            g->leader[role][r] = order[layout_leader((enum role)role, r, &g->teacher, &g->student)];
    }
}

static int place_of_rank(const int *order, int n, int rank)
{
    for (int i = 0; i < n; i++)
        if (order[i] == rank)
            return i;
    ASSERT(!"every rank has a place");
    return -1;
}

int groups_open(struct groups *g, const struct comm *world, struct group_shape teacher, struct group_shape student,
                enum group_plan plan, enum role role, struct err *e)
{
    *g = (struct groups){.world = world};
    /* all ranks see the same shapes and the same facts: they fail together, with the same text */
    if (groups_resolve(&teacher, &student, plan, world->size, e))
        return -1;
    comm_split_host(&g->host, world);
    struct layout_rank *ranks = exchange_facts(world, &g->host, role);
    if (layout_check_roles(ranks, world->size, &teacher, &student, e)) {
        mem_free(ranks);
        comm_free(&g->host);
        *g = (struct groups){0};
        return -1;
    }
    g->teacher = teacher;
    g->student = student;
    int *order = mem_array((size_t)world->size, sizeof *order);
    layout_order(ranks, world->size, order);
    g->hosts = layout_hosts(ranks, world->size, world->rank, &g->my_host);
    const int index = place_of_rank(order, world->size, world->rank);
    g->me = layout_place(index, &teacher, &student);
    split(g, world, index);
    name_leaders(g, order);
    mem_free(order);
    mem_free(ranks);
    return 0;
}

void groups_close(struct groups *g)
{
    comm_free(&g->replicas);
    comm_free(&g->shards);
    comm_free(&g->group);
    comm_free(&g->host);
    mem_free(g->leader[ROLE_TEACHER]);
    mem_free(g->leader[ROLE_STUDENT]);
    *g = (struct groups){0};
}

static void describe_me(const struct groups *g, int threads, const char *detail, struct strbuf *out)
{
    const bool teaches = g->me.role == ROLE_TEACHER;
    const struct group_shape *s = teaches ? &g->teacher : &g->student;
    char host[MPI_MAX_PROCESSOR_NAME];
    int length;
    MPI_Get_processor_name(host, &length);
    strbuf_printf(out, "rank %d on %s: %s replica %d of %d, ", g->world->rank, host, teaches ? "teacher" : "student",
                  g->me.replica, s->replicas);
    if (s->pipeline_parallel > 1)
        strbuf_printf(out, "stage %d of %d, ", g->me.stage, s->pipeline_parallel);
    strbuf_printf(out, "shard %d of %d, %d thread%s", g->me.shard, s->tensor_parallel, threads,
                  threads == 1 ? "" : "s");
    if (detail && *detail)
        strbuf_printf(out, ", %s", detail);
}

void groups_describe(const struct groups *g, int threads, const char *detail,
                     void (*line)(void *context, const char *text), void *context)
{
    /* a rank's index stands before its line, so that root can put the lines in order */
    const int index = my_index(g), n = g->world->size;
    struct strbuf mine;
    strbuf_init(&mine);
    strbuf_add(&mine, &index, sizeof index);
    describe_me(g, threads, detail, &mine);
    size_t *offsets = mem_array((size_t)n + 1, sizeof *offsets);
    void *all = NULL;
    size_t room = 0;
    gather_bytes(g->world, mine.data, mine.size + 1, &all, &room, offsets, 0);
    if (all) {
        const char **lines = mem_array((size_t)n, sizeof *lines);
        for (int r = 0; r < n; r++) {
            const char *theirs = (const char *)all + offsets[r];
            int at;
            memcpy(&at, theirs, sizeof at);
            lines[at] = theirs + sizeof at;
        }
        for (int i = 0; i < n; i++)
            line(context, lines[i]);
        mem_free(lines);
    }
    mem_free(all);
    mem_free(offsets);
    strbuf_release(&mine);
}
