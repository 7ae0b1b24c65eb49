#include "made.h"

#include <math.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"

struct label_spec made_spec(int format)
{
    if (format >= MADE_HIDDEN)
        return (struct label_spec){.kind = LABEL_HIDDEN,
                                   .values = format == MADE_HIDDEN ? VALUES_F16 : VALUES_F32,
                                   .hidden = MADE_WIDTH,
                                   .temperature = 1,
                                   .seed = 3};
    return (struct label_spec){.kind = format / 3,
                               .values = format % 3,
                               .threshold = 0.02,
                               .k = 600,
                               .draws = 50,
                               .temperature = 1.5,
                               .seed = 3};
}

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* n ascending ids: distinct, or each at most twice. The first label holds the lowest id and the highest. */
static void fill_ids(uint32_t *ids, int64_t n, int distinct, struct rng *r)
{
    for (int64_t i = 0; i < n; i++)
        ids[i] = (uint32_t)rng_below(r, MADE_VOCABULARY - MADE_ENTRIES);
    qsort(ids, (size_t)n, sizeof *ids, ascending);
    for (int64_t i = 0; i < n; i++)
        ids[i] += (uint32_t)(distinct ? i : i / 2 * 2);
}

/* How many entries the head of label i has. */
static int64_t heads_of(const struct label_spec *s, int i)
{
    static const int64_t sampled[] = {5, 0, 1, 12, 40, 2}, top[] = {5, 1, 50, 600, 3, 2};
    return s->kind == LABEL_SAMPLED ? sampled[i % 6] : s->kind == LABEL_TOP_K ? top[i % 6] : 0;
}

/* The mass outside the head of label i, 0 for some. */
static double tail_of(const struct label_spec *s, int i, int64_t heads, struct rng *r)
{
    if (!heads)
        return 1;
    if (i % 6 == 3 || i % 6 == 4) /* no tail; one that u16 cannot hold */
        return i % 6 == 3 ? 0 : 1e-6;
    const double most = s->kind == LABEL_SAMPLED ? 1 - 1.5 * s->threshold * (double)heads : 1;
    return most * rng_uniform(r);
}

/* p of the head: at least tau each for sampled, over many orders of magnitude else; sum 1 - tail. */
static void fill_values(float *p, int64_t n, const struct label_spec *s, double tail, struct rng *r)
{
    double sum = 0, x[MADE_ENTRIES];
    for (int64_t i = 0; i < n; i++)
        sum += x[i] = s->kind == LABEL_SAMPLED ? rng_uniform(r) + 1e-3 : exp(-12 * rng_uniform(r));
    const double floor = s->kind == LABEL_SAMPLED ? s->threshold : 0;
    for (int64_t i = 0; i < n; i++)
        p[i] = (float)(floor + x[i] / sum * (1 - tail - floor * (double)n));
}

void made_fill(struct made *m, const struct label_spec *spec, uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed, 0);
    m->spec = *spec;
    m->labels = MADE_LABELS;
    for (int i = 0; spec->kind == LABEL_HIDDEN && i < MADE_LABELS * MADE_WIDTH; i++)
        m->states[i] = (float)(5 * rng_normal(&r));
    if (spec->kind == LABEL_HIDDEN)
        return;
    int64_t heads = 0, tails = 0;
    for (int i = 0; i < m->labels; i++) {
        struct label_entries *n = &m->entries[i];
        const int64_t head_count = heads_of(spec, i);
        const double tail = tail_of(spec, i, head_count, &r);
        const uint16_t q = record_tail_quantise(tail);
        *n = (struct label_entries){.position = 3 * i + 1,
                                    .head_count = head_count,
                                    .head_ids = m->head_ids + heads,
                                    .head_p = m->head_p + heads,
                                    .tail_ids = m->tail_ids + tails,
                                    .tail_mass = (float)tail,
                                    .tail_q = q,
                                    .entropy = (float)(12 * rng_uniform(&r))};
        if (spec->kind != LABEL_TOP_K)
            n->tail_count = spec->kind == LABEL_RANDOM ? spec->draws : record_tail_draws(q, spec->threshold);
        ASSERT(heads + head_count <= MADE_ENTRIES && tails + n->tail_count <= MADE_ENTRIES);
        fill_ids(m->head_ids + heads, head_count, 1, &r);
        fill_ids(m->tail_ids + tails, n->tail_count, 0, &r);
        fill_values(m->head_p + heads, head_count, spec, tail, &r);
        heads += head_count;
        tails += n->tail_count;
    }
}

void *made_record(const struct made *m, size_t *size)
{
    return made_record_of(m, MADE_SEQ_ID, MADE_INPUT_HASH, size);
}

void *made_record_of(const struct made *m, uint64_t seq_id, uint64_t input_hash, size_t *size)
{
    struct record_writer *w = record_writer_new(&m->spec);
    record_writer_begin(w, seq_id, input_hash, 3 * MADE_LABELS);
    for (int i = 0; i < m->labels; i++)
        if (m->spec.kind == LABEL_HIDDEN)
            record_writer_add_hidden(w, m->states + i * MADE_WIDTH);
        else
            record_writer_add(w, &m->entries[i]);
    void *bytes = record_writer_finish(w, size);
    record_writer_free(w);
    return bytes;
}
