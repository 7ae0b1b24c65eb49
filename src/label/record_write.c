/* See record.h: entries to bytes. Numbers are collected column by column and split into byte planes at the end. */
#include "label/record.h"

#include <math.h>
#include <string.h>
#include <zstd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kern/quant.h"
#include "label/list.h"
#include "label/random.h"
#include "label/record_format.h"

enum { ZSTD_LEVEL = 3 };

struct record_writer {
    struct label_spec spec;
    struct record_header header;
    double level[RECORD_LEVELS];
    struct codes {
        uint32_t *v;
        size_t count, room;
    } columns[COLUMNS];
    ZSTD_CCtx *zstd;
    unsigned char *raw, *packed; /* the body before and after compression */
    size_t raw_room, packed_room;
};

struct record_writer *record_writer_new(const struct label_spec *spec)
{
    ASSERT(spec->kind != LABEL_HIDDEN || (spec->hidden > 0 && spec->values != VALUES_U8));
    struct record_writer *w = mem_alloc(sizeof *w);
    w->spec = *spec;
    record_levels(w->level, spec);
    w->zstd = ZSTD_createCCtx();
    if (!w->zstd)
        mem_exhausted(0);
    return w;
}

void record_writer_free(struct record_writer *w)
{
    if (!w)
        return;
    for (int i = 0; i < COLUMNS; i++)
        mem_free(w->columns[i].v);
    ZSTD_freeCCtx(w->zstd);
    mem_free(w->raw);
    mem_free(w->packed);
    mem_free(w);
}

void record_writer_begin(struct record_writer *w, uint64_t seq_id, uint64_t input_hash, int tokens)
{
    w->header = (struct record_header){
        .seq_id = seq_id,
        .input_hash = input_hash,
        .tokens = (uint32_t)tokens,
        .kind = w->spec.kind,
        .values = w->spec.values,
        .temperature = (float)w->spec.temperature,
        .parameter = record_parameter(&w->spec),
        .seed = w->spec.seed,
    };
    for (int i = 0; i < COLUMNS; i++)
        w->columns[i].count = 0;
}

/* Room for n more codes at the end of a column, which the caller fills. */
static uint32_t *append(struct record_writer *w, enum column column, size_t n)
{
    struct codes *c = &w->columns[column];
    c->v = list_reserve(c->v, &c->room, c->count + n, sizeof *c->v);
    c->count += n;
    return c->v + c->count - n;
}

static uint32_t f32_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void add_ids(struct record_writer *w, enum column column, const uint32_t *ids, int64_t n, uint32_t least_step)
{
    uint32_t *code = append(w, column, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        ASSERT(ids[i] < 1u << 8 * RECORD_ID_BYTES && (i == 0 || ids[i] >= ids[i - 1] + least_step));
        code[i] = i ? ids[i] - ids[i - 1] : ids[i];
    }
}

/* The level below or above share, so that the expected level is share. u: uniform, 32 bits. */
static uint32_t round_to_level(const double level[RECORD_LEVELS], double share, uint32_t u)
{
    uint32_t low = 0, high = RECORD_LEVELS - 1;
    if (share >= level[high])
        return high;
    while (high - low > 1) {
        const uint32_t middle = (low + high) / 2;
        if (share < level[middle])
            high = middle;
        else
            low = middle;
    }
    const double up = (share - level[low]) / (level[high] - level[low]);
    return u * 0x1p-32 < up ? high : low;
}

static void add_u8_values(struct record_writer *w, const struct label_entries *n, double mass)
{
    const struct label_key key = {w->spec.seed, w->header.input_hash};
    uint32_t *code = append(w, COLUMN_HEAD_VALUE, (size_t)n->head_count);
    struct rng_block r = {{0}};
    for (int64_t i = 0; i < n->head_count; i++) {
        if (i % 4 == 0)
            r = label_random(key, n->position, RANDOM_ROUNDING, (uint64_t)i / 4);
        code[i] = round_to_level(w->level, n->head_p[i] / mass, r.v[i % 4]);
    }
}

static void add_values(struct record_writer *w, const struct label_entries *n)
{
    double mass = 0;
    for (int64_t i = 0; i < n->head_count; i++)
        mass += n->head_p[i];
    if (w->spec.values == VALUES_U8) {
        add_u8_values(w, n, mass);
        return;
    }
    const bool exact = w->spec.values == VALUES_F32;
    uint32_t *code = append(w, COLUMN_HEAD_VALUE, (size_t)n->head_count);
    for (int64_t i = 0; i < n->head_count; i++)
        code[i] = exact ? f32_bits(n->head_p[i]) : f32_to_f16((float)(n->head_p[i] / mass * RECORD_F16_ONE));
}

static bool tail_count_fits(const struct label_spec *s, const struct label_entries *n)
{
    if (isnan(n->entropy))
        return n->tail_count == 0 && n->head_count == 0;
    if (s->kind == LABEL_SAMPLED)
        return n->tail_count == record_tail_draws(n->tail_q, s->threshold);
    return n->tail_count == (s->kind == LABEL_RANDOM ? s->draws : 0);
}

void record_writer_add(struct record_writer *w, const struct label_entries *n)
{
    const bool exact = w->spec.values == VALUES_F32;
    ASSERT(tail_count_fits(&w->spec, n));
    if (w->spec.kind == LABEL_RANDOM) {
        ASSERT(n->head_count == 0);
    } else {
        *append(w, COLUMN_HEAD_COUNT, 1) = (uint32_t)n->head_count;
        *append(w, COLUMN_TAIL_MASS, 1) =
            exact && w->spec.kind == LABEL_TOP_K ? f32_bits(fminf(n->tail_mass, 1)) : n->tail_q;
        add_ids(w, COLUMN_HEAD_ID, n->head_ids, n->head_count, 1);
        add_values(w, n);
    }
    add_ids(w, COLUMN_TAIL_ID, n->tail_ids, n->tail_count, 0);
    *append(w, COLUMN_ENTROPY, 1) = exact ? f32_bits(n->entropy) : f32_to_f16(n->entropy);
    w->header.labels++;
    ASSERT(w->header.labels <= w->header.tokens);
}

void record_writer_add_hidden(struct record_writer *w, const float *state)
{
    const size_t width = (size_t)w->spec.hidden;
    ASSERT(w->spec.kind == LABEL_HIDDEN && w->header.labels < w->header.tokens);
    uint32_t *code = append(w, COLUMN_HEAD_VALUE, width);
    for (size_t i = 0; i < width; i++)
        code[i] = w->spec.values == VALUES_F32 ? f32_bits(state[i]) : f32_to_f16(state[i]);
    w->header.labels++;
}

static unsigned char *put_planes(unsigned char *at, const struct codes *c, int width)
{
    for (int plane = 0; plane < width; plane++)
        for (size_t i = 0; i < c->count; i++)
            *at++ = (unsigned char)(c->v[i] >> 8 * plane);
    return at;
}

/* w->raw: the body before compression, of header.raw_size bytes. */
static void make_body(struct record_writer *w)
{
    struct column_shape shape[COLUMNS];
    w->header.head_entries = w->columns[w->spec.kind == LABEL_HIDDEN ? COLUMN_HEAD_VALUE : COLUMN_HEAD_ID].count;
    w->header.tail_ids = w->columns[COLUMN_TAIL_ID].count;
    ASSERT(record_columns(shape, &w->header, &w->header.raw_size));
    w->raw = list_reserve(w->raw, &w->raw_room, w->header.raw_size, 1);
    unsigned char *at = w->raw;
    for (int i = 0; i < COLUMNS; i++)
        at = put_planes(at, &w->columns[i], shape[i].width);
    ASSERT((uint64_t)(at - w->raw) == w->header.raw_size);
}

void *record_writer_finish(struct record_writer *w, size_t *size)
{
    make_body(w);
    const size_t bound = ZSTD_compressBound(w->header.raw_size);
    w->packed = list_reserve(w->packed, &w->packed_room, bound, 1);
    w->header.packed_size = ZSTD_compressCCtx(w->zstd, w->packed, bound, w->raw, w->header.raw_size, ZSTD_LEVEL);
    if (ZSTD_isError(w->header.packed_size)) /* the bound suffices, so only its own memory can have failed */
        mem_exhausted(bound);
    *size = RECORD_HEADER_BYTES + w->header.packed_size;
    unsigned char *bytes = mem_alloc(*size);
    memcpy(bytes + RECORD_HEADER_BYTES, w->packed, w->header.packed_size);
    record_header_write(bytes, &w->header, bytes + RECORD_HEADER_BYTES);
    return bytes;
}
