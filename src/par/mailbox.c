/* See mailbox.h. A message travels as a head (its size and its first bytes) and, if it is longer, as fragments behind
 * it; MPI keeps the order of one pair. The receiver has one receive for a head standing for each source, so a small
 * message costs one trip and a large one is received straight into its own buffer. */
#include "par/mailbox.h"

#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "par/progress.h"
#include "par/request.h"

enum {
    INLINE_BYTES = 4088,       /* of a message in its head: permits, small records */
    FRAGMENT_BYTES = 16 << 20, /* of the rest */
};

struct head {
    uint64_t size;
    unsigned char bytes[INLINE_BYTES];
};

/* A message that is complete, or on its way. */
struct mail {
    struct mail *next;
    unsigned char *bytes;
    size_t size;
};

/* A message on its way out. */
struct outgoing {
    struct outgoing *next;
    struct head head;
    void *bytes;
    size_t size;
    int count;
    MPI_Request requests[]; /* the head's and the fragments' */
};

struct source {
    int rank;
    struct head head;
    MPI_Request standing; /* for the next head; null while fragments come in */
    struct mail *coming;  /* the message whose fragments come in, or NULL */
    MPI_Request *fragments;
    int count;
    struct mail *first, **last; /* complete ones, oldest first */
};

struct mailbox {
    struct comm comm;
    struct progress_item item;
    struct source *sources; /* all below is guarded by the progress lock */
    int count;
    struct outgoing *outgoing;
    size_t backlog;
};

static size_t inline_part(size_t size)
{
    return size < INLINE_BYTES ? size : INLINE_BYTES;
}

static size_t head_bytes(size_t size)
{
    return offsetof(struct head, bytes) + inline_part(size);
}

static int fragments_of(size_t size)
{
    const size_t n = (size - inline_part(size) + FRAGMENT_BYTES - 1) / FRAGMENT_BYTES;
    ASSERT(n < INT32_MAX);
    return (int)n;
}

/* Fragment i of a message: where it begins; *n bytes. */
static size_t fragment_at(size_t size, int i, size_t *n)
{
    const size_t at = inline_part(size) + (size_t)i * FRAGMENT_BYTES;
    *n = size - at < FRAGMENT_BYTES ? size - at : FRAGMENT_BYTES;
    return at;
}

static void await_head(struct mailbox *m, struct source *s)
{
    s->standing = request_receive(&m->comm, &s->head, sizeof s->head, s->rank, TAG_MAIL);
}

static void keep(struct source *s, struct mail *mail)
{
    *s->last = mail;
    s->last = &mail->next;
}

static void open_message(struct mailbox *m, struct source *s)
{
    const size_t size = (size_t)s->head.size;
    struct mail *mail = mem_alloc(sizeof *mail);
    mail->size = size;
    mail->bytes = mem_alloc(size);
    memcpy(mail->bytes, s->head.bytes, inline_part(size));
    m->backlog += size;
    s->count = fragments_of(size);
    if (!s->count) {
        keep(s, mail);
        await_head(m, s);
        return;
    }
    s->coming = mail;
    s->fragments = mem_array((size_t)s->count, sizeof(MPI_Request));
    for (int i = 0; i < s->count; i++) {
        size_t n, at = fragment_at(size, i, &n);
        s->fragments[i] = request_receive(&m->comm, mail->bytes + at, n, s->rank, TAG_MAIL);
    }
}

static void close_message(struct mailbox *m, struct source *s)
{
    mem_free(s->fragments);
    s->fragments = NULL;
    keep(s, s->coming);
    s->coming = NULL;
    await_head(m, s);
}

/* True if a head or the last fragment of a message has come. */
static bool step_source(struct mailbox *m, struct source *s)
{
    int came;
    if (s->coming) {
        MPI_Testall(s->count, s->fragments, &came, MPI_STATUSES_IGNORE);
        if (came)
            close_message(m, s);
    } else {
        MPI_Test(&s->standing, &came, MPI_STATUS_IGNORE);
        if (came)
            open_message(m, s);
    }
    return came;
}

static void step_outgoing(struct mailbox *m)
{
    for (struct outgoing **at = &m->outgoing; *at;) {
        struct outgoing *o = *at;
        int left;
        MPI_Testall(o->count, o->requests, &left, MPI_STATUSES_IGNORE);
        if (!left) {
            at = &o->next;
            continue;
        }
        *at = o->next;
        m->backlog -= o->size;
        mem_free(o->bytes);
        mem_free(o);
        progress_moved();
    }
}

static void step(void *context)
{
    struct mailbox *m = context;
    for (int i = 0; i < m->count; i++)
        while (step_source(m, &m->sources[i]))
            progress_moved();
    step_outgoing(m);
}

struct mailbox *mailbox_new(const struct comm *c, const int *sources, int count)
{
    struct mailbox *m = mem_alloc(sizeof *m);
    comm_duplicate(&m->comm, c);
    m->count = count;
    m->sources = mem_array((size_t)count, sizeof *m->sources);
    for (int i = 0; i < count; i++) {
        struct source *s = &m->sources[i];
        ASSERT(sources[i] >= 0 && sources[i] < c->size);
        s->rank = sources[i];
        s->last = &s->first;
        await_head(m, s);
    }
    m->item = (struct progress_item){.step = step, .context = m};
    progress_add(&m->item);
    return m;
}

static bool nothing_outgoing(void *context)
{
    return !((struct mailbox *)context)->outgoing;
}

/* What nobody has taken is dropped. Fragments have left their sender, so they do come. */
static void release_source(struct mailbox *m, struct source *s)
{
    if (s->coming) {
        request_wait(s->fragments, s->count);
        close_message(m, s);
    }
    MPI_Cancel(&s->standing);
    MPI_Wait(&s->standing, MPI_STATUS_IGNORE);
    while (s->first) {
        struct mail *mail = s->first;
        s->first = mail->next;
        mem_free(mail->bytes);
        mem_free(mail);
    }
}

void mailbox_free(struct mailbox *m)
{
    if (!m)
        return;
    progress_wait(nothing_outgoing, m);
    comm_barrier(&m->comm); /* others may still need this rank to receive */
    progress_remove(&m->item);
    for (int i = 0; i < m->count; i++)
        release_source(m, &m->sources[i]);
    mem_free(m->sources);
    comm_free(&m->comm);
    mem_free(m);
}

void mailbox_send(struct mailbox *m, int destination, void *bytes, size_t size)
{
    const int fragments = fragments_of(size);
    struct outgoing *o = mem_alloc(sizeof *o + ((size_t)fragments + 1) * sizeof(MPI_Request));
    o->bytes = bytes;
    o->size = size;
    o->head.size = size;
    if (size)
        memcpy(o->head.bytes, bytes, inline_part(size));

    progress_lock();
    o->requests[o->count++] = request_send(&m->comm, &o->head, head_bytes(size), destination, TAG_MAIL);
    for (int i = 0; i < fragments; i++) {
        size_t n, at = fragment_at(size, i, &n);
        o->requests[o->count++] = request_send(&m->comm, (char *)bytes + at, n, destination, TAG_MAIL);
    }
    o->next = m->outgoing;
    m->outgoing = o;
    m->backlog += size;
    progress_unlock();
}

static struct source *find_source(struct mailbox *m, int rank)
{
    for (int i = 0; i < m->count; i++)
        if (m->sources[i].rank == rank)
            return &m->sources[i];
    ASSERT(!"no source of this mailbox");
    return NULL;
}

static bool has_mail(void *context)
{
    return ((struct source *)context)->first;
}

/* With the lock held. */
static void *take(struct mailbox *m, struct source *s, size_t *size)
{
    struct mail *mail = s->first;
    if (!mail)
        return NULL;
    s->first = mail->next;
    if (!s->first)
        s->last = &s->first;
    void *bytes = mail->bytes;
    *size = mail->size;
    m->backlog -= mail->size;
    mem_free(mail);
    return bytes;
}

void *mailbox_receive(struct mailbox *m, int source, size_t *size, double *waited)
{
    struct source *s = find_source(m, source);
    const double seconds = progress_wait(has_mail, s);
    if (waited)
        *waited += seconds;
    progress_lock();
    void *bytes = take(m, s, size);
    progress_unlock();
    return bytes;
}

void *mailbox_try(struct mailbox *m, int source, size_t *size)
{
    struct source *s = find_source(m, source);
    progress_lock();
    step(m);
    void *bytes = take(m, s, size);
    progress_unlock();
    return bytes;
}

size_t mailbox_backlog(const struct mailbox *m)
{
    progress_lock();
    const size_t n = m->backlog;
    progress_unlock();
    return n;
}
