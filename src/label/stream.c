/* See stream.h. Permits and records travel in one mailbox over the world: permits from student leaders to teacher
 * leaders, an envelope and then the record the other way. The mailbox keeps the order of each pair, which is all that
 * the protocol needs: a message other than the expected one is our bug. */
#include "label/stream.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "par/mailbox.h"

struct envelope {
    int64_t item;
    double waited; /* by the teacher for permits, since the start */
};

struct stream {
    const struct groups *groups; /* borrowed */
    struct mailbox *mailbox;
    int others;       /* replicas of the other role */
    const int *ranks; /* [others]: their leaders; borrowed */

    int64_t permitted; /* student: the limit that teachers have */
    int64_t *limit;    /* teacher [others]: each student's */
    double waited;     /* teacher: for permits */
    double *told;      /* student [others]: what each teacher's last envelope says of that */
};

struct stream *stream_new(const struct groups *g)
{
    const bool teacher = g->me.role == ROLE_TEACHER;
    struct stream *s = mem_alloc(sizeof *s);
    s->groups = g;
    s->others = teacher ? g->student.replicas : g->teacher.replicas;
    s->ranks = g->leader[teacher ? ROLE_STUDENT : ROLE_TEACHER];
    s->limit = mem_array((size_t)s->others, sizeof *s->limit);
    s->told = mem_array((size_t)s->others, sizeof *s->told);
    s->mailbox = mailbox_new(g->world, s->ranks, groups_leads(g) ? s->others : 0);
    return s;
}

void stream_free(struct stream *s)
{
    if (!s)
        return;
    mailbox_free(s->mailbox);
    mem_free(s->limit);
    mem_free(s->told);
    mem_free(s);
}

static void check_role(const struct stream *s, enum role role, int other)
{
    ASSERT(groups_leads(s->groups) && s->groups->me.role == role);
    ASSERT(other >= 0 && other < s->others);
}

static void send_copy(struct stream *s, int other, const void *bytes, size_t size)
{
    void *copy = mem_alloc(size);
    memcpy(copy, bytes, size);
    mailbox_send(s->mailbox, s->ranks[other], copy, size);
}

/* A message of a known size. */
static void open_message(void *to, size_t size, void *bytes, size_t got)
{
    ASSERT(got == size);
    memcpy(to, bytes, size);
    mem_free(bytes);
}

void stream_permit(struct stream *s, int64_t limit)
{
    if (limit <= s->permitted)
        return;
    s->permitted = limit;
    for (int teacher = 0; teacher < s->others; teacher++) {
        check_role(s, ROLE_STUDENT, teacher);
        send_copy(s, teacher, &limit, sizeof limit);
    }
}

void *stream_take(struct stream *s, int maker, int64_t item, size_t *size, double *waited)
{
    check_role(s, ROLE_STUDENT, maker);
    ASSERT(item < s->permitted); /* or its teacher waits for ever, and this rank as well */
    struct envelope envelope;
    size_t got;
    void *bytes = mailbox_receive(s->mailbox, s->ranks[maker], &got, waited);
    open_message(&envelope, sizeof envelope, bytes, got);
    ASSERT(envelope.item == item);
    s->told[maker] = envelope.waited;
    return mailbox_receive(s->mailbox, s->ranks[maker], size, waited);
}

double stream_teacher_wait(const struct stream *s)
{
    double sum = 0;
    for (int i = 0; i < s->others; i++)
        sum += s->told[i];
    return sum;
}

static void take_permit(struct stream *s, int student, void *bytes, size_t got)
{
    int64_t limit;
    open_message(&limit, sizeof limit, bytes, got);
    ASSERT(limit > s->limit[student]);
    s->limit[student] = limit;
}

/* Permits of students that this teacher has no work for would pile up. */
static void take_waiting_permits(struct stream *s)
{
    for (int student = 0; student < s->others; student++) {
        void *bytes;
        size_t got;
        while ((bytes = mailbox_try(s->mailbox, s->ranks[student], &got)))
            take_permit(s, student, bytes, got);
    }
}

void stream_wait_permit(struct stream *s, int owner, int64_t item)
{
    check_role(s, ROLE_TEACHER, owner);
    take_waiting_permits(s);
    while (item >= s->limit[owner]) {
        size_t got;
        void *bytes = mailbox_receive(s->mailbox, s->ranks[owner], &got, &s->waited);
        take_permit(s, owner, bytes, got);
    }
}

void stream_send(struct stream *s, int owner, int64_t item, void *bytes, size_t size)
{
    check_role(s, ROLE_TEACHER, owner);
    ASSERT(item < s->limit[owner]);
    const struct envelope envelope = {item, s->waited};
    send_copy(s, owner, &envelope, sizeof envelope);
    mailbox_send(s->mailbox, s->ranks[owner], bytes, size);
}

size_t stream_backlog(const struct stream *s)
{
    return mailbox_backlog(s->mailbox);
}
