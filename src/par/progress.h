/* What moves nonblocking traffic. Open MPI 4.1 progresses only inside MPI calls, so something has to call: with
 * MPI_THREAD_MULTIPLE one communication thread per rank, which sleeps 50 to 200 us between polls; without it, or while
 * the main thread waits, whoever calls progress_poll().
 *
 * An operation is a small state machine with a step function; buckets and mailboxes register theirs here. */
#ifndef RETORT_PAR_PROGRESS_H
#define RETORT_PAR_PROGRESS_H

#include <stdbool.h>

struct progress_item {
    /* Does what can be done without waiting; called with the progress lock held, from any thread. */
    void (*step)(void *context);
    void *context;
    struct progress_item *next; /* owned by progress.c while registered */
};

/* thread: start the communication thread (needs MPI_THREAD_MULTIPLE). */
void progress_start(bool thread);
void progress_stop(void);

void progress_add(struct progress_item *item);
void progress_remove(struct progress_item *item);

/* One round over all items, and failure_watch() when the caller is the main thread. Cheap when there is nothing. */
void progress_poll(void);

/* The lock that every step function runs under, for the code that hands work to one. */
void progress_lock(void);
void progress_unlock(void);

/* A step function says that it has moved something: the communication thread then looks again sooner. */
void progress_moved(void);

/* Polls until done(context) says so (asked with the lock held). Returns the seconds that it took. Main thread only. */
double progress_wait(bool (*done)(void *context), void *context);

#endif
