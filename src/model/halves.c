#include "model/halves.h"

#include <stdlib.h>

#include "par/sum.h"

/* Products of fewer rows are slower by more than a sum takes. */
enum { FEWEST_ROWS = 256 };

static int64_t width(struct range r)
{
    return r.end - r.first;
}

/* --- the view --- */

static float *from_row(float *x, int64_t row, int64_t elements)
{
    return x ? x + row * elements : NULL;
}

static void view_block(struct block_tape *v, const struct block_tape *k, const struct model *m, int64_t row)
{
    const struct shard *s = &m->shard;
    const int64_t d = m->config.hidden_size, Q = width(s->q), KV = width(s->kv), F = width(s->ffn);
    *v = (struct block_tape){
        .x_in = from_row(k->x_in, row, d),
        .x_mid = from_row(k->x_mid, row, d),
        .r_attn = from_row(k->r_attn, row, 1),
        .r_mlp = from_row(k->r_mlp, row, 1),
        .q_raw = from_row(k->q_raw, row, Q),
        .k_raw = from_row(k->k_raw, row, KV),
        .r_q = from_row(k->r_q, row, width(s->heads)),
        .r_k = from_row(k->r_k, row, width(s->kv_heads)),
        .q = from_row(k->q, row, Q),
        .k = from_row(k->k, row, KV),
        .v = from_row(k->v, row, KV),
        .attn = from_row(k->attn, row, Q),
        .lse = from_row(k->lse, row, 1),
        .gate = from_row(k->gate, row, F),
        .up = from_row(k->up, row, F),
        .saved = k->saved, /* tape_save knows the row */
    };
    for (int i = 0; i < LIN_COUNT; i++)
        v->inner[i] = from_row(k->inner[i], row, m->options.adapter.rank);
}

/* Scratch that is used up before a half gives way to the other one is the same for both; what is summed is not. */
static struct tape *view(struct tape *t, int half, int64_t row)
{
    struct tape *v = &t->halves[half];
    struct block_tape *blocks = v->blocks;
    *v = *t;
    v->blocks = blocks;
    v->halves = NULL;
    v->half = half;
    v->first = row;
    v->x = from_row(t->x, row, t->m->config.hidden_size);
    v->sum = from_row(t->sum, row, tape_sum_width(t->m));
    for (int i = 0; i < t->m->config.layers; i++)
        view_block(&blocks[i], &t->blocks[i], t->m, row);
    return v;
}

/* --- the cut --- */

static int64_t imbalance(const struct batch *b, int document)
{
    return llabs(b->T - 2 * (int64_t)b->start[document]);
}

/* The document that begins nearest to the middle. */
static int middle_document(const struct batch *b)
{
    int best = 0;
    for (int d = 1; d < b->documents; d++)
        if (imbalance(b, d) < imbalance(b, best))
            best = d;
    return best;
}

static struct batch first_half(const struct batch *b, int documents)
{
    struct batch h = *b;
    h.T = b->start[documents];
    h.documents = documents;
    return h;
}

static struct batch second_half(const struct batch *b, int document, int32_t *start)
{
    const int32_t row = b->start[document];
    struct batch h = *b;
    h.T = b->T - row;
    h.documents = b->documents - document;
    h.ids = b->ids + row;
    h.position = b->position + row;
    h.place = b->place ? b->place + row : NULL;
    for (int d = document; d <= b->documents; d++)
        start[d - document] = b->start[d] - row;
    h.start = start;
    return h;
}

/* Products of bf16 give a row the same bits whatever is multiplied with it, OpenBLAS in f32 does not: and numbers must
 * not depend on which shards share a host. */
static bool may_cut(const struct tape *t)
{
    return t->halves && t->m->options.precision == PRECISION_BF16 && sum_goes_on(&t->m->shards);
}

int halves_cut(struct half halves[2], struct tape *t, const struct batch *b)
{
    const int document = middle_document(b);
    const int64_t row = b->start[document];
    if (!may_cut(t) || row < FEWEST_ROWS || b->T - row < FEWEST_ROWS) {
        halves[0] = (struct half){t, *b};
        return 1;
    }
    halves[0] = (struct half){view(t, 0, 0), first_half(b, document)};
    halves[1] = (struct half){view(t, 1, row), second_half(b, document, t->halves_start)};
    return 2;
}
