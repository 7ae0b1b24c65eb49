#include "model/halves.h"

#include "kern/op_attention.h"
#include "par/sum.h"

/* A half of fewer rows is not worth it: its products run far below the machine's rate. */
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

/* The document that row is in. */
static int document_of(const struct batch *b, int64_t row)
{
    int d = 0;
    while (b->start[d + 1] <= row)
        d++;
    return d;
}

/* Near the middle, where attention begins a block anyway. */
static int64_t row_of_cut(const struct batch *b)
{
    const int64_t middle = b->T / 2;
    const int d = document_of(b, middle);
    return b->start[d] + (middle - b->start[d]) / ATTENTION_BLOCK * ATTENTION_BLOCK;
}

/* start: room for what the half needs; returns what is left. */
static int32_t *first_half(struct batch *h, const struct batch *b, int64_t row, int32_t *start)
{
    *h = *b;
    h->T = row;
    h->documents = document_of(b, row - 1) + 1;
    h->start = start;
    for (int d = 0; d < h->documents; d++)
        *start++ = b->start[d];
    *start++ = (int32_t)row;
    return start;
}

static void second_half(struct batch *h, const struct batch *b, int64_t row, int32_t *start)
{
    const int document = document_of(b, row);
    *h = *b;
    h->T = b->T - row;
    h->documents = b->documents - document;
    h->ids = b->ids + row;
    h->position = b->position + row;
    h->place = b->place ? b->place + row : NULL;
    h->start = start;
    for (int d = document; d <= b->documents; d++)
        *start++ = b->start[d] - (int32_t)row;
}

/* Products of bf16 give a row the same bits whatever is multiplied with it, OpenBLAS in f32 does not: and numbers must
 * not depend on which shards share a host. */
static bool may_cut(const struct tape *t)
{
    return t->halves && t->m->options.precision == PRECISION_BF16 && sum_goes_on(&t->m->shards);
}

int halves_cut(struct half halves[2], struct tape *t, const struct batch *b)
{
    if (!may_cut(t) || b->T < 2 * (FEWEST_ROWS + ATTENTION_BLOCK)) {
        halves[0] = (struct half){t, *b};
        return 1;
    }
    const int64_t row = row_of_cut(b);
    halves[0].t = view(t, 0, 0);
    halves[1].t = view(t, 1, row);
    second_half(&halves[1].b, b, row, first_half(&halves[0].b, b, row, t->halves_start));
    return 2;
}
