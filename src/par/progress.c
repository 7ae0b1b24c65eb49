#include "par/progress.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "par/failure.h"
#include "par/request.h"

#define SLEEP_SHORTEST 50e-6
#define SLEEP_LONGEST 200e-6

static struct {
    pthread_mutex_t lock; /* guards all of this and whatever the steps touch */
    pthread_cond_t wake;  /* the thread sleeps on it while there is no item */
    pthread_t thread;
    bool threaded, stop, moved;
    struct progress_item *items;
} progress = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

void progress_lock(void)
{
    pthread_mutex_lock(&progress.lock);
}

void progress_unlock(void)
{
    pthread_mutex_unlock(&progress.lock);
}

void progress_moved(void)
{
    progress.moved = true;
}

static void step_all(void)
{
    for (struct progress_item *i = progress.items; i; i = i->next)
        i->step(i->context);
}

static void *run_thread(void *unused)
{
    (void)unused;
    double sleep = SLEEP_SHORTEST;
    progress_lock();
    while (!progress.stop) {
        if (!progress.items) {
            pthread_cond_wait(&progress.wake, &progress.lock);
            continue;
        }
        progress.moved = false;
        step_all();
        sleep = progress.moved ? SLEEP_SHORTEST : sleep * 2;
        if (sleep > SLEEP_LONGEST)
            sleep = SLEEP_LONGEST;
        progress_unlock();
        clock_sleep(sleep);
        progress_lock();
    }
    progress_unlock();
    return NULL;
}

void progress_start(bool thread)
{
    ASSERT(!progress.threaded);
    if (!thread)
        return;
    progress.stop = false;
    /* signals are for the main thread: its handlers stop a run after a checkpoint */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&progress.thread, NULL, run_thread, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    progress.threaded = !failed;
    if (failed)
        log_warning("no communication thread: %s; traffic moves only while a rank waits", strerror(failed));
}

void progress_stop(void)
{
    ASSERT(!progress.items); /* a mailbox or buckets that nobody has freed */
    if (!progress.threaded)
        return;
    progress_lock();
    progress.stop = true;
    pthread_cond_signal(&progress.wake);
    progress_unlock();
    pthread_join(progress.thread, NULL);
    progress.threaded = false;
}

void progress_add(struct progress_item *item)
{
    progress_lock();
    item->next = progress.items;
    progress.items = item;
    pthread_cond_signal(&progress.wake);
    progress_unlock();
}

void progress_remove(struct progress_item *item)
{
    progress_lock();
    struct progress_item **at = &progress.items;
    while (*at != item) {
        ASSERT(*at);
        at = &(*at)->next;
    }
    *at = item->next;
    progress_unlock();
}

void progress_poll(void)
{
    progress_lock();
    step_all();
    progress_unlock();
    failure_watch();
}

static bool step_and_ask(bool (*done)(void *context), void *context)
{
    progress_lock();
    bool is_done = done(context);
    if (!is_done) {
        step_all();
        is_done = done(context);
    }
    progress_unlock();
    return is_done;
}

double progress_wait(bool (*done)(void *context), void *context)
{
    const double began = clock_seconds();
    for (int round = 0; !step_and_ask(done, context);)
        request_pause(&round);
    return clock_seconds() - began;
}
