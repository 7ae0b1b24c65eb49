/* See encode.h. A chunk of rows goes through passes: exponentials, head, tail, draws. Between them stand the sums over
 * shards: the maximum, (sum of e, sum of e log e), the tail's mass, and what choosing the k largest needs. What a shard
 * finds is appended to its lists; at the end of the sequence shard 0 collects the lists and writes the record. */
#include "label/encode.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "label/draw.h"
#include "label/list.h"
#include "label/random.h"
#include "label/rows.h"
#include "par/sum.h"

/* A label without its entries. */
struct outline {
    int32_t position;
    uint16_t tail_q;
    float tail_mass, entropy;
    int64_t draws; /* from its tail, by all shards */
};

/* How many entries of a label this shard has found. */
struct share {
    uint32_t heads, draws;
};

/* The lists of one shard, as shard 0 walks through them. */
struct lists {
    const struct share *shares;
    const uint32_t *head_ids, *tail_ids;
    const float *head_p;
};

/* The entries of one label, of all shards; shards hold ascending ranges of ids. */
struct merged {
    uint32_t *head_ids, *tail_ids;
    float *head_p;
    size_t head_room, head_p_room, tail_room;
    size_t heads, tails;
};

struct encoder {
    struct label_spec spec;
    const struct comm *shards;
    int64_t first, V;
    const uint64_t *allowed;
    int64_t participants; /* ids that take part, of all shards; 0: not yet counted */
    struct record_writer *writer;

    struct label_key key; /* of the sequence */
    int64_t bad_labels;
    struct rows rows;
    double *points; /* [rows, draws] of `random` */
    size_t points_room;
    int64_t *draws; /* [3, rows]: a row's first draw on this shard, how many, where their ids begin */
    size_t draws_room;

    /* of the sequence so far */
    struct outline *outlines; /* [labels] */
    struct share *shares;     /* [labels] */
    uint32_t *head_ids, *tail_ids;
    float *head_p;
    size_t labels, heads, tails;
    size_t outline_room, share_room, head_room, head_p_room, tail_room;

    /* on their way into the record */
    void *mine, *all; /* what this shard sends; shard 0: what all sent */
    size_t mine_room, all_room;
    size_t *offsets;     /* [shards + 1] */
    struct lists *lists; /* [shards] */
    struct merged merged;
};

struct encoder *encoder_new(const struct label_spec *spec, const struct comm *shards, int64_t first, int64_t V,
                            const uint64_t *allowed)
{
    ASSERT(V > 0);
    struct encoder *n = mem_alloc(sizeof *n);
    n->spec = *spec;
    n->shards = shards;
    n->first = first;
    n->V = V;
    n->allowed = allowed;
    n->writer = record_writer_new(spec);
    n->offsets = mem_array((size_t)shards->size + 1, sizeof *n->offsets);
    n->lists = mem_array((size_t)shards->size, sizeof *n->lists);
    return n;
}

void encoder_free(struct encoder *n)
{
    if (!n)
        return;
    record_writer_free(n->writer);
    rows_release(&n->rows);
    mem_free(n->points);
    mem_free(n->outlines);
    mem_free(n->shares);
    mem_free(n->head_ids);
    mem_free(n->head_p);
    mem_free(n->tail_ids);
    mem_free(n->draws);
    mem_free(n->mine);
    mem_free(n->all);
    mem_free(n->offsets);
    mem_free(n->lists);
    mem_free(n->merged.head_ids);
    mem_free(n->merged.head_p);
    mem_free(n->merged.tail_ids);
    mem_free(n);
}

void encoder_begin(struct encoder *n, uint64_t seq_id, uint64_t input_hash, int tokens)
{
    n->key = (struct label_key){n->spec.seed, input_hash};
    n->labels = n->heads = n->tails = 0;
    n->bad_labels = 0;
    record_writer_begin(n->writer, seq_id, input_hash, tokens);
}

int64_t encoder_bad_labels(const struct encoder *n)
{
    return n->bad_labels;
}

static int64_t count_allowed(const uint64_t *allowed, int64_t V)
{
    if (!allowed)
        return V;
    int64_t count = 0;
    for (int64_t j = 0; j < V; j++)
        count += allowed[j / 64] >> j % 64 & 1;
    return count;
}

/* Here and not in encoder_new, which is local. */
static void count_participants(struct encoder *n)
{
    if (n->participants)
        return;
    double count = (double)count_allowed(n->allowed, n->V);
    sum_f64(n->shards, &count, 1);
    n->participants = (int64_t)count;
    ASSERT(n->participants > 0);
}

/* --- head --- */

/* The key below those of the e's with e / sum >= tau. */
static int32_t cut_below(double tau, double sum)
{
    float least = (float)(tau * sum);
    if ((double)least < tau * sum)
        least = nextafterf(least, INFINITY);
    return row_key(least) - 1;
}

static void cut_heads(struct encoder *n)
{
    struct rows *r = &n->rows;
    const bool search = n->spec.kind == LABEL_TOP_K && n->spec.k < n->participants;
    if (search)
        rows_cut_top(r, n->shards, n->spec.k);
    for (int64_t row = 0; row < r->count; row++) {
        const bool none = n->spec.kind == LABEL_RANDOM || !row_is_finite(r, row);
        if (search && !none)
            continue;
        r->ties[row] = 0;
        r->cut[row] = none                            ? INT32_MAX
                      : n->spec.kind == LABEL_SAMPLED ? cut_below(n->spec.threshold, r->sums[2 * row])
                                                      : -1;
    }
}

/* Where each row's entries begin behind `at`, given the counts; returns the new end. */
static size_t lay_out(int64_t *begin, const int64_t *count, int64_t rows, size_t at)
{
    for (int64_t row = 0; row < rows; row++) {
        begin[row] = (int64_t)at;
        at += (size_t)count[row];
    }
    return at;
}

static void take_heads(struct encoder *n, struct share *shares)
{
    struct rows *r = &n->rows;
    rows_count_heads(r);
    n->heads = lay_out(r->begin, r->head_count, r->count, n->heads);
    n->head_ids = list_reserve(n->head_ids, &n->head_room, n->heads, sizeof *n->head_ids);
    n->head_p = list_reserve(n->head_p, &n->head_p_room, n->heads, sizeof *n->head_p);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < r->count; row++) {
        shares[row].heads = (uint32_t)r->head_count[row];
        row_take_head(r, row, (uint32_t)n->first, n->head_ids + r->begin[row], n->head_p + r->begin[row]);
    }
}

/* --- tail --- */

static void outline_row(const struct encoder *n, int64_t row, struct outline *o)
{
    const struct rows *r = &n->rows;
    const double sum = r->sums[2 * row];
    if (!row_is_finite(r, row)) {
        *o = (struct outline){.position = o->position, .tail_q = RECORD_NO_TAIL, .entropy = NAN};
        return;
    }
    const double tail = r->total[row] / sum, entropy = log(sum) - r->sums[2 * row + 1] / sum;
    o->tail_mass = (float)tail;
    o->tail_q = record_tail_quantise(tail);
    o->entropy = entropy > 0 ? (float)entropy : 0; /* a rounding may take it below */
    o->draws = n->spec.kind == LABEL_SAMPLED  ? record_tail_draws(o->tail_q, n->spec.threshold)
               : n->spec.kind == LABEL_RANDOM ? n->spec.draws
                                              : 0;
}

static struct draws draws_of_row(const struct encoder *n, int64_t row, const struct outline *o)
{
    struct draws d = {.count = o->draws, .total = n->rows.total[row]};
    if (n->spec.kind == LABEL_RANDOM)
        d.points = n->points + row * n->spec.draws;
    else
        d.offset = draw_offset(n->key, o->position);
    return d;
}

/* Which of each row's draws fall on this shard: first[row] and how many. */
static void share_draws(struct encoder *n, const struct outline *outlines, struct share *shares, int64_t *first,
                        int64_t *count)
{
    const struct rows *r = &n->rows;
    if (n->spec.kind == LABEL_RANDOM)
        n->points = list_reserve(n->points, &n->points_room, (size_t)(r->count * n->spec.draws), sizeof *n->points);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < r->count; row++) {
        const struct outline *o = &outlines[row];
        if (n->spec.kind == LABEL_RANDOM)
            draw_points(n->points + row * n->spec.draws, n->spec.draws, n->key, o->position);
        const struct draws d = draws_of_row(n, row, o);
        first[row] = o->draws ? draws_below(&d, r->before[row]) : 0;
        count[row] = o->draws ? draws_below(&d, r->before[row] + r->mass[row]) - first[row] : 0;
        shares[row].draws = (uint32_t)count[row];
    }
}

static void take_draws(struct encoder *n, const struct outline *outlines, struct share *shares)
{
    const struct rows *r = &n->rows;
    n->draws = list_reserve(n->draws, &n->draws_room, 3 * (size_t)r->count, sizeof *n->draws);
    int64_t *first = n->draws, *count = first + r->count, *begin = count + r->count;
    share_draws(n, outlines, shares, first, count);
    n->tails = lay_out(begin, count, r->count, n->tails);
    n->tail_ids = list_reserve(n->tail_ids, &n->tail_room, n->tails, sizeof *n->tail_ids);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < r->count; row++) {
        const struct draws d = draws_of_row(n, row, &outlines[row]);
        row_take_draws(r, row, &d, first[row], first[row] + count[row], (uint32_t)n->first, n->tail_ids + begin[row]);
    }
}

/* --- rows --- */

/* Room for the labels of the chunk. */
static void append_labels(struct encoder *n, const int32_t *position, int64_t rows)
{
    const size_t labels = n->labels + (size_t)rows;
    n->outlines = list_reserve(n->outlines, &n->outline_room, labels, sizeof *n->outlines);
    n->shares = list_reserve(n->shares, &n->share_room, labels, sizeof *n->shares);
    for (int64_t row = 0; row < rows; row++)
        n->outlines[n->labels + (size_t)row] = (struct outline){.position = position[row]};
    n->labels = labels;
}

void encoder_rows(struct encoder *n, float *logits, int64_t ld, const int32_t *position, int64_t rows)
{
    if (rows == 0)
        return;
    struct rows *r = &n->rows;
    count_participants(n);
    append_labels(n, position, rows);
    struct outline *outlines = n->outlines + n->labels - rows;
    struct share *shares = n->shares + n->labels - rows;
    r->e = logits;
    r->ld = ld;
    r->V = n->V;
    r->scale = (float)(1 / n->spec.temperature);
    r->allowed = n->allowed;
    rows_reserve(r, rows);

    const bool alone = n->shards->size == 1;
    if (!alone) {
        rows_maxima(r);
        max_f32(n->shards, r->max, rows);
    }
    rows_exponentials(r, alone);
    sum_f64(n->shards, r->sums, 2 * rows);
    cut_heads(n);
    take_heads(n, shares);
    rows_tail_masses(r);
    scan_f64(n->shards, r->before, r->total, r->mass, rows);
    for (int64_t row = 0; row < rows; row++) {
        outline_row(n, row, &outlines[row]);
        n->bad_labels += !row_is_finite(r, row);
    }
    take_draws(n, outlines, shares);
}

/* --- the record --- */

/* n->mine, what a shard sends: shares, head ids, head p, drawn ids, one behind the other. Returns its size. */
static size_t pack(struct encoder *n)
{
    const size_t parts[] = {n->labels * sizeof *n->shares, n->heads * sizeof *n->head_ids, n->heads * sizeof *n->head_p,
                            n->tails * sizeof *n->tail_ids};
    const void *const from[] = {n->shares, n->head_ids, n->head_p, n->tail_ids};
    const size_t size = parts[0] + parts[1] + parts[2] + parts[3];
    n->mine = list_reserve(n->mine, &n->mine_room, size, 1);
    char *at = n->mine;
    for (int i = 0; i < 4; i++) {
        if (parts[i])
            memcpy(at, from[i], parts[i]);
        at += parts[i];
    }
    return size;
}

static struct lists unpack(const void *bytes, size_t labels)
{
    struct lists l = {.shares = bytes};
    size_t heads = 0;
    for (size_t i = 0; i < labels; i++)
        heads += l.shares[i].heads;
    l.head_ids = (const uint32_t *)(l.shares + labels);
    l.head_p = (const float *)(l.head_ids + heads);
    l.tail_ids = (const uint32_t *)(l.head_p + heads);
    return l;
}

static void merge_share(struct merged *m, struct lists *l)
{
    const struct share s = *l->shares++;
    m->head_ids = list_reserve(m->head_ids, &m->head_room, m->heads + s.heads, sizeof *m->head_ids);
    m->head_p = list_reserve(m->head_p, &m->head_p_room, m->heads + s.heads, sizeof *m->head_p);
    m->tail_ids = list_reserve(m->tail_ids, &m->tail_room, m->tails + s.draws, sizeof *m->tail_ids);
    if (s.heads) {
        memcpy(m->head_ids + m->heads, l->head_ids, s.heads * sizeof *m->head_ids);
        memcpy(m->head_p + m->heads, l->head_p, s.heads * sizeof *m->head_p);
    }
    if (s.draws)
        memcpy(m->tail_ids + m->tails, l->tail_ids, s.draws * sizeof *m->tail_ids);
    m->heads += s.heads;
    m->tails += s.draws;
    l->head_ids += s.heads;
    l->head_p += s.heads;
    l->tail_ids += s.draws;
}

static void write_labels(struct encoder *n)
{
    struct merged *m = &n->merged;
    for (size_t i = 0; i < n->labels; i++) {
        const struct outline *o = &n->outlines[i];
        m->heads = m->tails = 0;
        for (int s = 0; s < n->shards->size; s++)
            merge_share(m, &n->lists[s]);
        record_writer_add(n->writer, &(struct label_entries){.position = o->position,
                                                             .head_count = (int64_t)m->heads,
                                                             .tail_count = (int64_t)m->tails,
                                                             .head_ids = m->head_ids,
                                                             .head_p = m->head_p,
                                                             .tail_ids = m->tail_ids,
                                                             .tail_mass = o->tail_mass,
                                                             .tail_q = o->tail_q,
                                                             .entropy = o->entropy});
    }
}

/* Beyond that, f16 has infinity alone. */
static bool can_be_written(const struct label_spec *s, const float *state)
{
    const float most = s->values == VALUES_F16 ? 65504 : FLT_MAX;
    for (int64_t i = 0; i < s->hidden; i++)
        if (!(fabsf(state[i]) <= most))
            return false;
    return true;
}

void encoder_hidden(struct encoder *n, const float *h, int64_t rows)
{
    for (int64_t row = 0; row < rows; row++, h += n->spec.hidden) {
        n->bad_labels += !can_be_written(&n->spec, h);
        if (n->shards->rank == 0)
            record_writer_add_hidden(n->writer, h);
    }
}

static void *gather_record(struct encoder *n, size_t *size)
{
    const size_t mine = pack(n);
    gather_bytes(n->shards, n->mine, mine, &n->all, &n->all_room, n->offsets, 0);
    *size = 0;
    if (n->shards->rank != 0)
        return NULL;
    for (int s = 0; s < n->shards->size; s++)
        n->lists[s] = unpack((const char *)n->all + n->offsets[s], n->labels);
    write_labels(n);
    return record_writer_finish(n->writer, size);
}

void *encoder_finish(struct encoder *n, size_t *size)
{
    if (n->spec.kind != LABEL_HIDDEN)
        return gather_record(n, size);
    *size = 0;
    return n->shards->rank == 0 ? record_writer_finish(n->writer, size) : NULL;
}
