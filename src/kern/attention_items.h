/* What the threads of attention share: items of (document, head, block of tokens), handed out in order, and how far
 * each has come. Private to the kernels. */
#ifndef RETORT_KERN_ATTENTION_ITEMS_H
#define RETORT_KERN_ATTENTION_ITEMS_H

#include <sched.h>
#include <stdbool.h>

#include "base/integer.h"
#include "kern/op_attention.h"
#include "kern/threads.h"

/* Tokens of a block, and the widest head. */
enum { BLOCK = ATTENTION_BLOCK, MOST_D = 256 };

/* All (document, head, block) of documents [document, end) in this order, numbered from 0. A thread draws tickets and
 * walks on to each; nothing is allocated. */
struct walk {
    const struct attention_shape *s;
    int heads, end;
    int64_t before; /* blocks of the documents before this one */
    int document;
    int64_t first, length, blocks; /* of the document's tokens */
};

static inline void walk_document(struct walk *w, int document)
{
    w->document = document;
    w->first = w->s->start[document];
    w->length = document < w->end ? w->s->start[document + 1] - w->first : 0;
    w->blocks = ceil_div(w->length, BLOCK);
}

static inline struct walk walk_init(const struct attention_shape *s, int heads, int document, int end)
{
    struct walk w = {.s = s, .heads = heads, .end = end};
    walk_document(&w, document);
    return w;
}

/* Moves to the item with this ticket, not below the last one. False: there is none. */
static inline bool walk_to(struct walk *w, int64_t ticket, int *head, int64_t *block)
{
    while (w->document < w->end && ticket >= w->heads * (w->before + w->blocks)) {
        w->before += w->blocks;
        walk_document(w, w->document + 1);
    }
    if (w->document == w->end)
        return false;
    const int64_t item = ticket - w->heads * w->before;
    *head = (int)(item / w->blocks);
    *block = item % w->blocks;
    return true;
}

/* Whether the block's tokens are only read by others: they stand before row 0. */
static inline bool walk_past(const struct walk *w, int64_t block)
{
    return w->first + block * BLOCK < 0;
}

static inline int64_t ticket_draw(int64_t *next)
{
    return __atomic_fetch_add(next, 1, __ATOMIC_RELAXED);
}

/* An upper bound will do: it only decides whether a parallel region pays. */
static inline int attention_threads(const struct attention_shape *s)
{
    return kern_threads(s->T * s->H * s->D * 8);
}

/* Steps that items have done, by ticket: ticket << 32 | steps. A slot is used again by the ticket SLOTS later. */
enum { SLOTS = 1024 };
struct progress {
    uint64_t done[SLOTS];
};
#define ALL_STEPS UINT32_MAX

static inline void progress_wait(struct progress *p, int64_t ticket, uint64_t steps)
{
    /* tickets are drawn in order, so the one waited for is finished or in work in another thread */
    while (__atomic_load_n(&p->done[ticket % SLOTS], __ATOMIC_ACQUIRE) < ((uint64_t)ticket << 32 | steps))
        sched_yield();
}

static inline void progress_set(struct progress *p, int64_t ticket, uint64_t steps)
{
    __atomic_store_n(&p->done[ticket % SLOTS], (uint64_t)ticket << 32 | steps, __ATOMIC_RELEASE);
}

/* Before a ticket's own first step: its slot is free. */
static inline void progress_begin(struct progress *p, int64_t ticket)
{
    if (ticket >= SLOTS)
        progress_wait(p, ticket - SLOTS, ALL_STEPS);
}

/* What a backward reads and writes: the arguments of attention_backward. */
struct backward {
    float *dq, *dk, *dv, *delta;
    const float *dout, *q, *k, *v, *out, *lse;
    const struct attention_shape *s;
};

/* delta_i = dout_i . out_i = sum_j p_ij dp_ij: what the softmax takes off every dp of its row */
static inline void row_deltas(float *delta, const float *dout, const float *out, int64_t ld, int64_t n, int D)
{
    for (int64_t i = 0; i < n; i++) {
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int d = 0; d < D; d++)
            sum += dout[i * ld + d] * out[i * ld + d];
        delta[i] = sum;
    }
}

#endif
