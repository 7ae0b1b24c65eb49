/* Messages of bytes between ranks of one communicator, in order per pair, of any size (large ones travel in fragments),
 * sent and received in the background by progress.h. Bounded by the protocol above it: nobody sends what was not
 * permitted (label/stream.h). */
#ifndef RETORT_PAR_MAILBOX_H
#define RETORT_PAR_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "par/comm.h"

struct mailbox;

/* Collective over c (duplicated inside). sources: the ranks that may send to this one. */
struct mailbox *mailbox_new(const struct comm *c, const int *sources, int count);

/* Collective. Waits until everything sent has left; drops what nobody has taken. Takes NULL (on all ranks). */
void mailbox_free(struct mailbox *m);

/* Local, returns at once. Takes bytes (mem_alloc'ed) over. */
void mailbox_send(struct mailbox *m, int destination, void *bytes, size_t size);

/* The next message from source, which the caller frees with mem_free. Waits, watching for failures; adds the seconds it
 * waited to *waited (may be NULL). */
void *mailbox_receive(struct mailbox *m, int source, size_t *size, double *waited);

/* The same if one is there; NULL otherwise. */
void *mailbox_try(struct mailbox *m, int source, size_t *size);

/* Bytes that wait here to be sent or taken: for tests of the bound and for reports. */
size_t mailbox_backlog(const struct mailbox *m);

#endif
