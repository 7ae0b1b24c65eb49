/* See record.h: bytes to a label set. Nothing that the bytes say is believed before it is checked: sizes follow from
 * counts, counts from columns, and memory is asked for only in proportion to the bytes that are there. */
#include "label/record.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "base/mem.h"
#include "kern/quant.h"
#include "label/record_format.h"

/* One zstd block of at least 4 bytes gives at most 128 KiB: what claims more is no record, whatever its header says. */
enum { ZSTD_MOST_EXPANSION = (128 << 10) / 4 };

struct record_reader {
    ZSTD_DCtx *zstd;
    unsigned char *raw; /* a body, decompressed */
    size_t room;
};

struct reader {
    struct record_reader *kept;
    struct record_header header;
    const struct label_spec *spec;
    uint32_t vocabulary;
    struct column_shape shape[COLUMNS];
    const unsigned char *planes[COLUMNS];
    uint64_t next[COLUMNS]; /* first number not yet read of the columns that have several in a label */
    double level[RECORD_LEVELS];

    /* the set under construction */
    int64_t *first;
    uint32_t *ids;
    float *p, *tail, *entropy;
    int64_t entries;
    float *hidden;
};

static int refuse(const struct reader *r, struct err *e, const char *what)
{
    return err_set(e, ERR_INPUT, "label record of sequence %#llx: %s; label it again",
                   (unsigned long long)r->header.seq_id, what);
}

static int refuse_label(const struct reader *r, struct err *e, int64_t label, const char *what)
{
    return err_set(e, ERR_INPUT, "label record of sequence %#llx: label %lld: %s; label it again",
                   (unsigned long long)r->header.seq_id, (long long)label, what);
}

/* --- is it the record that was asked for? --- */

static int differs(const struct reader *r, struct err *e, const char *key, const char *has, const char *wants)
{
    return err_set(
        e, ERR_INPUT,
        "label record of sequence %#llx: made with %s %s, the job says %s; use the job that it was made for, or "
        "label again",
        (unsigned long long)r->header.seq_id, key, has, wants);
}

static int differs_in_number(const struct reader *r, struct err *e, const char *key, double has, double wants)
{
    char a[32], b[32];
    snprintf(a, sizeof a, "%.9g", has);
    snprintf(b, sizeof b, "%.9g", wants);
    return differs(r, e, key, a, b);
}

static int check_spec(const struct reader *r, struct err *e)
{
    const struct label_spec has = record_spec(&r->header), *wants = r->spec;
    if (has.kind != wants->kind)
        return differs(r, e, "labels.encoding.kind", label_kind_name(has.kind), label_kind_name(wants->kind));
    if (has.values != wants->values)
        return differs(r, e, "labels.encoding.values", label_values_name(has.values), label_values_name(wants->values));
    if (r->header.temperature != (float)wants->temperature)
        return differs_in_number(r, e, "distill.temperature", has.temperature, wants->temperature);
    if (has.kind == LABEL_SAMPLED && has.threshold != wants->threshold)
        return differs_in_number(r, e, "labels.encoding.threshold", has.threshold, wants->threshold);
    if (has.kind == LABEL_TOP_K && has.k != wants->k)
        return differs_in_number(r, e, "labels.encoding.k", (double)has.k, (double)wants->k);
    if (has.kind == LABEL_HIDDEN && has.hidden != wants->hidden)
        return differs_in_number(r, e, "hidden states of size", (double)has.hidden, (double)wants->hidden);
    if (has.kind == LABEL_RANDOM && has.draws != wants->draws)
        return differs_in_number(r, e, "labels.encoding.draws", (double)has.draws, (double)wants->draws);
    return 0;
}

static int check_identity(const struct reader *r, uint64_t seq_id, uint64_t input_hash, struct err *e)
{
    if (r->header.seq_id != seq_id)
        return err_set(e, ERR_INPUT,
                       "label record of sequence %#llx stands where that of %#llx belongs; label it again",
                       (unsigned long long)r->header.seq_id, (unsigned long long)seq_id);
    if (r->header.input_hash != input_hash)
        return err_set(
            e, ERR_INPUT,
            "label record of sequence %#llx: its input hash is %016llx, that of the sequence %016llx: other data, "
            "tokenizer, template or packing; label again",
            (unsigned long long)seq_id, (unsigned long long)r->header.input_hash, (unsigned long long)input_hash);
    return 0;
}

/* --- the body --- */

static int reserve(struct record_reader *k, uint64_t bytes)
{
    if (bytes <= k->room)
        return 0;
    mem_free_large(k->raw, k->room);
    k->raw = mem_try(bytes);
    k->room = k->raw ? bytes : 0;
    return k->raw ? 0 : -1;
}

static int unpack(struct reader *r, const unsigned char *body, struct err *e)
{
    const struct record_header *h = &r->header;
    uint64_t raw;
    if (!record_columns(r->shape, h, &raw) || raw != h->raw_size)
        return refuse(r, e, "its sizes contradict each other");
    if (raw / ZSTD_MOST_EXPANSION > h->packed_size || ZSTD_getFrameContentSize(body, h->packed_size) != raw)
        return refuse(r, e, "its body is no zstd frame of the size that it should have");
    if (reserve(r->kept, raw))
        return err_set(e, ERR_ENVIRONMENT, "label record of sequence %#llx: no memory for its %llu bytes",
                       (unsigned long long)h->seq_id, (unsigned long long)raw);
    if (ZSTD_decompressDCtx(r->kept->zstd, r->kept->raw, raw, body, h->packed_size) != raw)
        return refuse(r, e, "its body cannot be decompressed");
    const unsigned char *at = r->kept->raw;
    for (int i = 0; i < COLUMNS; i++) {
        r->planes[i] = at;
        at += r->shape[i].count * (uint64_t)r->shape[i].width;
    }
    return 0;
}

static uint32_t number(const struct reader *r, enum column column, uint64_t i)
{
    const struct column_shape s = r->shape[column];
    uint32_t v = 0;
    for (int b = 0; b < s.width; b++)
        v |= (uint32_t)r->planes[column][(uint64_t)b * s.count + i] << 8 * b;
    return v;
}

static float bits_f32(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The next id of a column, given the one before it (negative: the first of a label); -1 if it breaks the order. */
static int64_t next_id(struct reader *r, enum column column, int64_t before, uint32_t least_step)
{
    const uint32_t step = number(r, column, r->next[column]++);
    const int64_t id = before < 0 ? step : before + step;
    return (before >= 0 && step < least_step) || id >= r->vocabulary ? -1 : id;
}

static double head_value(const struct reader *r, uint64_t i)
{
    const uint32_t code = number(r, COLUMN_HEAD_VALUE, i);
    switch (r->header.values) {
    case VALUES_U8:
        return r->level[code];
    case VALUES_F16:
        return f16_to_f32((uint16_t)code);
    default:
        return bits_f32(code);
    }
}

/* The head of a label, as it stands in the record: appends its ids and values, and gives the sum of the values. */
static int read_head(struct reader *r, int64_t label, int64_t count, double *sum, struct err *e)
{
    int64_t id = -1;
    *sum = 0;
    for (int64_t i = 0; i < count; i++) {
        const double value = head_value(r, r->next[COLUMN_HEAD_ID]);
        id = next_id(r, COLUMN_HEAD_ID, id, 1);
        if (id < 0)
            return refuse_label(r, e, label, "its ids are not in order, or not below the size of the vocabulary");
        if (!(value >= 0 && value <= (r->header.values == VALUES_F16 ? RECORD_F16_ONE : 1)))
            return refuse_label(r, e, label, "holds a value that is no probability");
        r->ids[r->entries] = (uint32_t)id;
        r->p[r->entries++] = (float)value;
        *sum += value;
    }
    return 0;
}

/* Appends the drawn ids, each once, with `weight` for each draw. */
static int read_tail(struct reader *r, int64_t label, int64_t count, double weight, struct err *e)
{
    int64_t id = -1;
    for (int64_t i = 0, times = 0; i < count; i++) {
        const int64_t before = id;
        id = next_id(r, COLUMN_TAIL_ID, before, 0);
        if (id < 0)
            return refuse_label(r, e, label, "its drawn ids are not in order, or not below the size of the vocabulary");
        times = id == before ? times + 1 : 1;
        r->entries += times == 1;
        r->ids[r->entries - 1] = (uint32_t)id;
        r->p[r->entries - 1] = (float)((double)times * weight);
    }
    return 0;
}

/* What a label holds, before its entries: how many of which kind, and the mass outside its head. */
struct outline {
    int64_t heads, draws;
    double tail;
};

static int read_outline(const struct reader *r, int64_t label, struct outline *o, struct err *e)
{
    const struct record_header *h = &r->header;
    *o = (struct outline){.draws = r->spec->draws, .tail = 1};
    if (h->kind != LABEL_RANDOM) {
        const uint32_t mass = number(r, COLUMN_TAIL_MASS, (uint64_t)label);
        o->heads = number(r, COLUMN_HEAD_COUNT, (uint64_t)label);
        o->tail = r->shape[COLUMN_TAIL_MASS].width == 4 ? bits_f32(mass) : record_tail_value((uint16_t)mass);
        o->draws = h->kind == LABEL_SAMPLED ? record_tail_draws((uint16_t)mass, r->spec->threshold) : 0;
    }
    if ((uint64_t)o->heads > h->head_entries - r->next[COLUMN_HEAD_ID] ||
        (uint64_t)o->draws > h->tail_ids - r->next[COLUMN_TAIL_ID] || (h->kind == LABEL_TOP_K && o->heads > r->spec->k))
        return refuse_label(r, e, label, "its counts are impossible");
    if (!(o->tail >= 0 && o->tail <= 1))
        return refuse_label(r, e, label, "the mass of its tail is no probability");
    return 0;
}

static int read_entropy(struct reader *r, int64_t label, struct err *e)
{
    const uint32_t code = number(r, COLUMN_ENTROPY, (uint64_t)label);
    const float h = r->shape[COLUMN_ENTROPY].width == 4 ? bits_f32(code) : f16_to_f32((uint16_t)code);
    if (!isfinite(h))
        return refuse_label(r, e, label,
                            "the teacher's logits were not finite; try another teacher.precision, check the teacher");
    if (h < 0)
        return refuse_label(r, e, label, "its entropy is negative");
    r->entropy[label] = h;
    return 0;
}

/* Whether values stand for themselves, and are not scaled so that the label sums to 1. */
static bool values_are_exact(const struct record_header *h)
{
    return h->kind == LABEL_TOP_K && h->values == VALUES_F32;
}

static int scale_head(struct reader *r, int64_t label, const struct outline *o, double sum, struct err *e)
{
    const double mass = 1 - o->tail;
    if (values_are_exact(&r->header)) {
        /* f32 values of a whole vocabulary: each is off by 2^-24 of itself, and a damaged sum by anything */
        return fabs(sum - mass) <= 1e-3 ? 0 : refuse_label(r, e, label, "its probabilities do not sum to 1");
    }
    if (mass > 0 && !(sum > 0))
        return refuse_label(r, e, label, "its probabilities do not sum to 1");
    float *p = r->p + r->entries - o->heads;
    for (int64_t i = 0; i < o->heads; i++)
        p[i] = (float)(p[i] / sum * mass);
    return 0;
}

static int read_label(struct reader *r, int64_t label, struct err *e)
{
    struct outline o;
    double sum;
    r->first[label] = r->entries;
    if (read_entropy(r, label, e) || read_outline(r, label, &o, e) || read_head(r, label, o.heads, &sum, e))
        return -1;
    if (r->header.kind != LABEL_RANDOM && scale_head(r, label, &o, sum, e))
        return -1;
    r->tail[label] = r->header.kind == LABEL_TOP_K ? (float)o.tail : 0;
    return read_tail(r, label, o.draws, o.draws ? o.tail / (double)o.draws : 0, e);
}

/* --- the set --- */

static int no_memory(const struct reader *r, uint64_t entries, struct err *e)
{
    return err_set(e, ERR_ENVIRONMENT, "label record of sequence %#llx: no memory for its %llu entries",
                   (unsigned long long)r->header.seq_id, (unsigned long long)entries);
}

/* first, tail and entropy, in front of `entries` of so many bytes. No overflow: a number takes at least 2 bytes of the
 * raw body, and that is in memory. */
static int allocate(struct reader *r, struct label_set *set, uint64_t entries, size_t each, struct err *e)
{
    const uint64_t labels = r->header.labels;
    const size_t need = (labels + 1) * sizeof *r->first + 2 * labels * sizeof(float) + entries * each;
    if (need > set->memory_size) {
        label_set_release(set);
        set->memory = mem_try(need);
        if (!set->memory)
            return no_memory(r, entries, e);
        set->memory_size = need;
    }
    r->first = set->memory;
    r->tail = (float *)(r->first + labels + 1);
    r->entropy = r->tail + labels;
    return 0;
}

static int allocate_entries(struct reader *r, struct label_set *set, struct err *e)
{
    const uint64_t labels = r->header.labels, entries = r->header.head_entries + r->header.tail_ids;
    if (allocate(r, set, entries, sizeof *r->ids + sizeof *r->p, e))
        return -1;
    r->p = r->entropy + labels;
    r->ids = (uint32_t *)(r->p + entries);
    return 0;
}

/* States in the place of entries: labels that list no id, without a tail. */
static int read_hidden(struct reader *r, struct label_set *set, struct err *e)
{
    const struct record_header *h = &r->header;
    const uint64_t labels = h->labels, elements = h->head_entries;
    if (elements != labels * h->parameter || h->tail_ids)
        return refuse(r, e, "its sizes contradict each other");
    if (allocate(r, set, elements, sizeof *r->hidden, e))
        return -1;
    memset(r->first, 0, (labels + 1) * sizeof *r->first);
    memset(r->tail, 0, 2 * labels * sizeof *r->tail); /* and the entropy behind it */
    r->hidden = r->entropy + labels;
    for (uint64_t i = 0; i < elements; i++) {
        r->hidden[i] = (float)head_value(r, i);
        if (!isfinite(r->hidden[i]))
            return refuse_label(r, e, (int64_t)(i / h->parameter), "the teacher's state is not finite in these values");
    }
    return 0;
}

static int read_labels(struct reader *r, struct label_set *set, struct err *e)
{
    const struct record_header *h = &r->header;
    if (h->kind == LABEL_HIDDEN)
        return read_hidden(r, set, e);
    if (allocate_entries(r, set, e))
        return -1;
    for (int64_t label = 0; label < h->labels; label++)
        if (read_label(r, label, e))
            return -1;
    r->first[h->labels] = r->entries;
    if (r->next[COLUMN_HEAD_ID] != h->head_entries || r->next[COLUMN_TAIL_ID] != h->tail_ids)
        return refuse(r, e, "it has entries that belong to no label");
    return 0;
}

struct record_reader *record_reader_new(void)
{
    struct record_reader *r = mem_alloc(sizeof *r);
    r->zstd = ZSTD_createDCtx();
    if (!r->zstd)
        mem_exhausted(0);
    return r;
}

void record_reader_free(struct record_reader *r)
{
    if (!r)
        return;
    ZSTD_freeDCtx(r->zstd);
    mem_free_large(r->raw, r->room);
    mem_free(r);
}

/* What has been read, in the memory that the set has. */
static void fill_set(struct label_set *set, const struct reader *r)
{
    *set = (struct label_set){
        .seq_id = r->header.seq_id,
        .input_hash = r->header.input_hash,
        .kind = r->spec->kind,
        .temperature = r->spec->temperature,
        .tokens = (int)r->header.tokens,
        .labels = (int)r->header.labels,
        .first = r->first,
        .ids = r->ids,
        .p = r->p,
        .tail = r->tail,
        .entropy = r->entropy,
        .hidden = r->hidden,
        .width = r->spec->hidden,
        .memory = set->memory,
        .memory_size = set->memory_size,
    };
}

int record_reader_decode(struct record_reader *kept, const void *bytes, size_t size, const struct label_spec *spec,
                         uint64_t seq_id, uint64_t input_hash, uint32_t vocabulary, struct label_set *set,
                         struct err *e)
{
    struct reader r = {.kept = kept, .spec = spec, .vocabulary = vocabulary};
    record_levels(r.level, spec);
    if (record_header_read(&r.header, bytes, size, true, e) || check_spec(&r, e) ||
        check_identity(&r, seq_id, input_hash, e) ||
        unpack(&r, (const unsigned char *)bytes + RECORD_HEADER_BYTES, e) || read_labels(&r, set, e)) {
        label_set_release(set);
        return -1;
    }
    fill_set(set, &r);
    return 0;
}

int record_decode(const void *bytes, size_t size, const struct label_spec *spec, uint64_t seq_id, uint64_t input_hash,
                  uint32_t vocabulary, struct label_set *out, struct err *e)
{
    struct record_reader *r = record_reader_new();
    struct label_set set = {0};
    const int rc = record_reader_decode(r, bytes, size, spec, seq_id, input_hash, vocabulary, &set, e);
    record_reader_free(r);
    if (!rc)
        *out = set;
    return rc;
}

static int read_info(const void *bytes, size_t size, bool crc, struct record_info *info, struct err *e)
{
    struct record_header h;
    if (record_header_read(&h, bytes, size, crc, e))
        return -1;
    *info = (struct record_info){
        .seq_id = h.seq_id,
        .input_hash = h.input_hash,
        .raw_size = h.raw_size,
        .packed_size = h.packed_size,
        .tokens = h.tokens,
        .labels = h.labels,
        .spec = record_spec(&h),
    };
    return 0;
}

int record_info(const void *bytes, size_t size, struct record_info *info, struct err *e)
{
    return read_info(bytes, size, true, info, e);
}

int record_glance(const void *bytes, size_t size, struct record_info *info, struct err *e)
{
    return read_info(bytes, size, false, info, e);
}
