/* The codec: what goes in comes out, to the precision that its values have; whatever is not a whole record of what was
 * asked for is an error that says so. */
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "label/record_format.h"
#include "made.h"

static int decode(const void *bytes, size_t size, const struct label_spec *spec, struct label_set *set, struct err *e)
{
    return record_decode(bytes, size, spec, MADE_SEQ_ID, MADE_INPUT_HASH, MADE_VOCABULARY, set, e);
}

static double sum_of(const float *p, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += p[i];
    return s;
}

/* The tail's mass as a reader must see it: a multiple of 1/65535, the nearest one. */
static double tail_by_hand(const struct label_spec *s, const struct label_entries *n)
{
    if (s->kind == LABEL_RANDOM)
        return 1;
    return s->kind == LABEL_TOP_K && s->values == VALUES_F32 ? n->tail_mass : round(n->tail_mass * 65535.0) / 65535;
}

/* How far a value may be off, relative to itself. u8: the two levels around it differ by this factor. */
static double value_tolerance(const struct label_spec *s)
{
    const double u8_step = pow(s->kind == LABEL_SAMPLED ? s->threshold : 0x1p-20, -1.0 / 254) - 1;
    return s->values == VALUES_F32 ? 2e-7 : s->values == VALUES_F16 ? 0x1p-11 : u8_step;
}

static void check_head(const struct made *m, const struct label_entries *n, const float *p)
{
    /* values are scaled by 1 - tail over their sum, in which errors of the same size average out */
    const double scale = (1 - tail_by_hand(&m->spec, n)) / sum_of(n->head_p, n->head_count);
    const int exact = m->spec.kind == LABEL_TOP_K && m->spec.values == VALUES_F32;
    const double lowest = m->spec.kind == LABEL_TOP_K ? 0x1p-20 * 2 : 0;
    for (int64_t i = 0; i < n->head_count; i++) {
        const double expect = n->head_p[i] * (exact ? 1 : scale);
        assert_true(fabs(p[i] - expect) <= (exact ? 0 : 2.1 * value_tolerance(&m->spec) * expect + lowest));
    }
}

/* Consumes the label's drawn ids from n; returns how many entries they made: equal ids are one. */
static int64_t check_tail(const struct made *m, const struct label_entries *n, const uint32_t *ids, const float *p)
{
    int64_t entry = -1, times = 0;
    for (int64_t i = 0; i < n->tail_count; i++) {
        const int again = i > 0 && n->tail_ids[i] == n->tail_ids[i - 1];
        entry += !again;
        times = again ? times + 1 : 1;
        assert_int_equal(ids[entry], n->tail_ids[i]);
        if (i == n->tail_count - 1 || n->tail_ids[i + 1] != n->tail_ids[i]) {
            const double weight = (double)times * tail_by_hand(&m->spec, n) / (double)n->tail_count;
            assert_true(fabs(p[entry] - weight) <= 1e-7 * weight);
        }
    }
    return entry + 1;
}

static void check_state(const struct made *m, const struct label_set *set, int i)
{
    const float *in = m->states + i * MADE_WIDTH, *out = set->hidden + i * MADE_WIDTH;
    assert_true(set->width == MADE_WIDTH && set->first[i + 1] == 0 && set->tail[i] == 0);
    for (int k = 0; k < MADE_WIDTH; k++)
        assert_true(fabs(out[k] - in[k]) <= (m->spec.values == VALUES_F32 ? 0 : 0x1p-11 * fabs(in[k])));
}

static void check_label(const struct made *m, const struct label_set *set, int i)
{
    if (m->spec.kind == LABEL_HIDDEN) {
        check_state(m, set, i);
        return;
    }
    const struct label_entries *n = &m->entries[i];
    const int64_t at = set->first[i], count = set->first[i + 1] - at;
    assert_true(count >= n->head_count);
    for (int64_t j = 0; j < n->head_count; j++)
        assert_int_equal(set->ids[at + j], n->head_ids[j]);
    check_head(m, n, set->p + at);
    assert_int_equal(n->head_count + check_tail(m, n, set->ids + at + n->head_count, set->p + at + n->head_count),
                     count);
    const double tail = m->spec.kind == LABEL_TOP_K ? tail_by_hand(&m->spec, n) : 0;
    assert_true(fabs(set->tail[i] - tail) <= 1e-7 * tail);
    assert_true(fabs(sum_of(set->p + at, count) + tail - 1) <= 1e-6);
    const double entropy_tolerance = m->spec.values == VALUES_F32 ? 0 : 0x1p-11 * n->entropy;
    assert_true(fabs(set->entropy[i] - n->entropy) <= entropy_tolerance);
}

static void every_format_comes_back(void **state)
{
    (void)state;
    for (int format = 0; format < MADE_FORMATS; format++) {
        const struct label_spec spec = made_spec(format);
        struct made *m = mem_alloc(sizeof *m);
        struct label_set set;
        struct err e = {0};
        size_t size;
        made_fill(m, &spec, 17);
        void *bytes = made_record(m, &size);
        assert_done(decode(bytes, size, &spec, &set, &e), &e);
        assert_int_equal(set.labels, m->labels);
        assert_int_equal(set.tokens, 3 * MADE_LABELS);
        assert_true(set.seq_id == MADE_SEQ_ID && set.input_hash == MADE_INPUT_HASH);
        for (int i = 0; i < m->labels; i++)
            check_label(m, &set, i);
        label_set_release(&set);
        mem_free(bytes);
        mem_free(m);
    }
}

static void a_record_without_labels(void **state)
{
    (void)state;
    const struct label_spec spec = made_spec(0);
    struct made *m = mem_alloc(sizeof *m);
    struct label_set set;
    struct err e = {0};
    size_t size;
    m->spec = spec;
    void *bytes = made_record(m, &size);
    assert_done(decode(bytes, size, &spec, &set, &e), &e);
    assert_int_equal(set.labels, 0);
    assert_int_equal(set.first[0], 0);
    label_set_release(&set);
    mem_free(bytes);
    mem_free(m);
}

static uint64_t hash_of_record(const struct made *m)
{
    size_t size;
    void *bytes = made_record(m, &size);
    const uint64_t h = hash64(bytes, size);
    mem_free(bytes);
    return h;
}

static void bytes_are_a_function_of_the_entries(void **state)
{
    (void)state;
    struct label_spec spec = made_spec(0);
    struct made *m = mem_alloc(sizeof *m);
    made_fill(m, &spec, 17);
    const uint64_t first = hash_of_record(m);
    assert_true(hash_of_record(m) == first);
    m->entries[3].position++; /* other random numbers */
    assert_true(hash_of_record(m) != first);
    mem_free(m);
}

/* Many roundings of one head: the mean is the value, off by what the number of roundings allows. */
static void u8_values_are_right_on_average(void **state)
{
    (void)state;
    enum { LABELS = 40000 };
    const struct label_spec spec = {.kind = LABEL_TOP_K, .values = VALUES_U8, .k = 4, .temperature = 1, .seed = 0};
    const uint32_t ids[] = {1, 5, 6, 700};
    const float p[] = {0.4f, 0.1234f, 0.0101f, 0.3f};
    struct record_writer *w = record_writer_new(&spec);
    record_writer_begin(w, 1, 2, LABELS);
    for (int i = 0; i < LABELS; i++)
        record_writer_add(w, &(struct label_entries){.position = i,
                                                     .head_count = 4,
                                                     .head_ids = ids,
                                                     .head_p = p,
                                                     .tail_mass = 0.1665f,
                                                     .tail_q = record_tail_quantise(0.1665)});
    size_t size;
    void *bytes = record_writer_finish(w, &size);
    struct label_set set;
    struct err e = {0};
    assert_done(record_decode(bytes, size, &spec, 1, 2, 701, &set, &e), &e);
    double mean[4] = {0};
    for (int i = 0; i < 4 * LABELS; i++)
        mean[i % 4] += set.p[i] / LABELS;
    /* a step of 5.5 % has a deviation of 2.2 % at most; the scaling to the tail's mass adds a second-order bias of 3e-4
     */
    for (int k = 0; k < 4; k++)
        assert_true(fabs(mean[k] / p[k] - 1) < 4.5 * 0.028 / sqrt(LABELS) + 3e-4);
    label_set_release(&set);
    mem_free(bytes);
    record_writer_free(w);
}

static void tail_masses_and_draws(void **state)
{
    (void)state;
    assert_int_equal(record_tail_quantise(0), RECORD_NO_TAIL);
    assert_int_equal(record_tail_quantise(7e-6), RECORD_NO_TAIL);
    assert_true(record_tail_value(RECORD_NO_TAIL) == 0);
    assert_true(record_tail_value(record_tail_quantise(1)) == 1);
    assert_true(record_tail_value(record_tail_quantise(1 + 1e-12)) == 1);
    for (int q = 0; q < RECORD_NO_TAIL; q++) {
        assert_int_equal(record_tail_quantise(record_tail_value((uint16_t)q)), q);
        assert_true(fabs(record_tail_value((uint16_t)q) - (q + 1) / 65535.0) < 1e-15);
    }
    assert_int_equal(record_tail_draws(RECORD_NO_TAIL, 0.02), 0);
    assert_int_equal(record_tail_draws(0, 0.02), 1);
    assert_int_equal(record_tail_draws(record_tail_quantise(1), 0.03), 34);
}

/* --- what is refused -------------------------------------------------------------------------------------------------
 */

static void assert_refused(const void *bytes, size_t size, const struct label_spec *spec, const char *why)
{
    /* a copy of its exact size: a sanitizer sees one byte too far */
    void *copy = mem_alloc(size);
    if (size)
        memcpy(copy, bytes, size);
    struct label_set set = {.labels = -7};
    struct err e = {0};
    assert_int_equal(decode(copy, size, spec, &set, &e), -1);
    assert_int_equal(set.labels, -7);
    assert_int_equal(e.code, ERR_INPUT);
    if (!strstr(e.text, why))
        fail_msg("\"%s\" does not say \"%s\"", e.text, why);
    mem_free(copy);
}

static void every_flipped_bit_and_every_cut(void **state)
{
    (void)state;
    for (int format = 0; format < MADE_FORMATS; format++) {
        const struct label_spec spec = made_spec(format);
        struct made *m = mem_alloc(sizeof *m);
        size_t size;
        made_fill(m, &spec, 5);
        m->labels = 3;
        unsigned char *bytes = made_record(m, &size);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
            assert_refused(bytes, size, &spec, "label");
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        for (size_t cut = 0; cut < size; cut++)
            assert_refused(bytes, cut, &spec, cut < RECORD_HEADER_BYTES ? "header alone has 92" : "its header says");
        bytes = mem_resize(bytes, size + 1, 1);
        bytes[size] = 0;
        assert_refused(bytes, size + 1, &spec, "its header says");
        mem_free(bytes);
        mem_free(m);
    }
}

static void other_jobs_and_sequences(void **state)
{
    (void)state;
    const struct label_spec spec = made_spec(0);
    struct made *m = mem_alloc(sizeof *m);
    size_t size;
    made_fill(m, &spec, 5);
    void *bytes = made_record(m, &size);
    struct label_spec other = spec;
    other.kind = LABEL_TOP_K;
    assert_refused(bytes, size, &other, "labels.encoding.kind sampled, the job says top_k");
    other = spec;
    other.values = VALUES_F16;
    assert_refused(bytes, size, &other, "labels.encoding.values u8, the job says f16");
    other = spec;
    other.temperature = 1;
    assert_refused(bytes, size, &other, "distill.temperature 1.5, the job says 1");
    other = spec;
    other.threshold = 0.03;
    assert_refused(bytes, size, &other, "labels.encoding.threshold 0.02, the job says 0.03");
    other = spec;
    other.seed = 99; /* valid at any seed */
    struct label_set set;
    struct err e = {0};
    assert_done(decode(bytes, size, &other, &set, &e), &e);
    label_set_release(&set);
    assert_int_equal(record_decode(bytes, size, &spec, 8, MADE_INPUT_HASH, MADE_VOCABULARY, &set, &e), -1);
    assert_non_null(strstr(e.text, "0x100000000000007 stands where that of 0x8 belongs"));
    err_clear(&e);
    assert_int_equal(record_decode(bytes, size, &spec, MADE_SEQ_ID, 8, MADE_VOCABULARY, &set, &e), -1);
    assert_non_null(strstr(e.text, "input hash is 0123456789abcdef"));
    err_clear(&e);
    assert_int_equal(record_decode(bytes, size, &spec, MADE_SEQ_ID, MADE_INPUT_HASH, 1000, &set, &e), -1);
    assert_non_null(strstr(e.text, "not below the size of the vocabulary"));
    mem_free(bytes);
    mem_free(m);
}

static void logits_that_were_not_finite(void **state)
{
    (void)state;
    for (int format = 0; format < MADE_FORMATS; format++) {
        const struct label_spec spec = made_spec(format);
        struct made *m = mem_alloc(sizeof *m);
        size_t size;
        made_fill(m, &spec, 5);
        m->entries[2] = (struct label_entries){.tail_q = RECORD_NO_TAIL, .entropy = NAN};
        m->states[2 * MADE_WIDTH + 3] = format % 2 ? INFINITY : NAN;
        void *bytes = made_record(m, &size);
        assert_refused(bytes, size, &spec,
                       spec.kind == LABEL_HIDDEN ? "label 2: the teacher's state is not finite"
                                                 : "label 2: the teacher's logits were not finite");
        mem_free(bytes);
        mem_free(m);
    }
}

/* A record of top_k f32 with this header and this compressed body, its sizes and its crc right. */
static void assert_packed_refused(struct record_header h, const void *packed, size_t size, const char *why)
{
    struct label_spec spec = made_spec(8);
    unsigned char *bytes = mem_alloc(RECORD_HEADER_BYTES + size);
    h.seq_id = MADE_SEQ_ID;
    h.input_hash = MADE_INPUT_HASH;
    h.tokens = h.tokens ? h.tokens : 3;
    h.kind = spec.kind;
    h.values = spec.values;
    h.temperature = (float)spec.temperature;
    h.parameter = record_parameter(&spec);
    h.packed_size = size;
    memcpy(bytes + RECORD_HEADER_BYTES, packed, size);
    record_header_write(bytes, &h, packed);
    assert_refused(bytes, RECORD_HEADER_BYTES + size, &spec, why);
    mem_free(bytes);
}

static void assert_forged_refused(struct record_header h, const void *raw, size_t raw_size, const char *why)
{
    unsigned char packed[4096];
    const size_t size = ZSTD_compress(packed, sizeof packed, raw, raw_size, 3);
    assert_false(ZSTD_isError(size));
    assert_packed_refused(h, packed, size, why);
}

/* One label of two ids in top_k f32: counts, tail, ids (planes), values (planes), entropy. */
static struct body {
    unsigned char bytes[26];
} one_label(uint32_t count, float tail, uint32_t id, uint32_t step, float p, float q, float entropy)
{
    struct body b;
    float values[2] = {p, q};
    memcpy(b.bytes, &count, 4);
    memcpy(b.bytes + 4, &tail, 4);
    for (int plane = 0; plane < 3; plane++) {
        b.bytes[8 + 2 * plane] = (unsigned char)(id >> 8 * plane);
        b.bytes[9 + 2 * plane] = (unsigned char)(step >> 8 * plane);
    }
    for (int plane = 0; plane < 4; plane++)
        for (int i = 0; i < 2; i++)
            b.bytes[14 + 2 * plane + i] = ((unsigned char *)&values[i])[plane];
    memcpy(b.bytes + 22, &entropy, 4);
    return b;
}

static void refuse_label(struct body b, const char *why)
{
    assert_forged_refused((struct record_header){.labels = 1, .head_entries = 2, .raw_size = sizeof b}, &b, sizeof b,
                          why);
}

static void forged_labels(void **state)
{
    (void)state;
    refuse_label(one_label(2, 0.5f, 7, 1, 0.25f, 0.2f, 1), "do not sum to 1");
    refuse_label(one_label(2, 0.5f, 7, 0, 0.25f, 0.25f, 1), "not in order");
    refuse_label(one_label(2, 0.5f, 7, MADE_VOCABULARY - 7, 0.25f, 0.25f, 1), "not below the size of the vocabulary");
    refuse_label(one_label(2, 0.5f, 7, 1, 0.75f, -0.25f, 1), "no probability");
    refuse_label(one_label(2, 0.5f, 7, 1, NAN, 0.25f, 1), "no probability");
    refuse_label(one_label(2, 1.5f, 7, 1, 0.25f, 0.25f, 1), "tail is no probability");
    refuse_label(one_label(2, NAN, 7, 1, 0.25f, 0.25f, 1), "tail is no probability");
    refuse_label(one_label(2, 0.5f, 7, 1, 0.25f, 0.25f, -1), "entropy is negative");
    refuse_label(one_label(2, 0.5f, 7, 1, 0.25f, 0.25f, INFINITY), "not finite");
    refuse_label(one_label(3, 0.5f, 7, 1, 0.25f, 0.25f, 1), "counts are impossible");
    refuse_label(one_label(UINT32_MAX, 0.5f, 7, 1, 0.25f, 0.25f, 1), "counts are impossible");
    refuse_label(one_label(1, 0.5f, 7, 1, 0.5f, 0.25f, 1), "entries that belong to no label");
}

static void forged_sizes(void **state)
{
    (void)state;
    static const unsigned char zeros[1 << 20];
    struct record_header h = {.labels = 1, .head_entries = 2, .raw_size = 26};
    const struct body b = one_label(2, 0.5f, 7, 1, 0.25f, 0.25f, 1);
    assert_forged_refused((struct record_header){.labels = 4, .raw_size = 26}, &b, sizeof b, "impossible values");
    assert_forged_refused((struct record_header){.tokens = UINT32_MAX, .raw_size = 0}, &b, 0, "impossible values");
    h.raw_size = 27;
    assert_forged_refused(h, &b, sizeof b, "contradict");
    h.raw_size = 26;
    assert_forged_refused(h, &b, sizeof b - 1, "no zstd frame of the size");
    h.head_entries = UINT64_MAX / 2;
    assert_forged_refused(h, &b, sizeof b, "contradict");
    /* counts that agree with a body which is claimed, and which so few bytes cannot hold */
    h.head_entries = (UINT64_C(1) << 40);
    h.raw_size = 12 + 7 * h.head_entries;
    assert_forged_refused(h, &b, sizeof b, "no zstd frame of the size");
    /* and a frame that claims the same: memory is not asked for */
    unsigned char frame[16] = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, [13] = 1};
    memcpy(frame + 5, &h.raw_size, 8);
    assert_true(ZSTD_getFrameContentSize(frame, sizeof frame) == h.raw_size);
    assert_packed_refused(h, frame, sizeof frame, "no zstd frame of the size");
    h.head_entries = (sizeof zeros - 12) / 7;
    h.raw_size = 12 + 7 * h.head_entries;
    assert_forged_refused(h, zeros, h.raw_size, "do not sum to 1"); /* as many as there are, and its label has none */
}

/* --- layout --- */

static void the_header_stands_where_record_h_says(void **state)
{
    (void)state;
    struct label_spec spec = made_spec(1);
    struct made *m = mem_alloc(sizeof *m);
    size_t size;
    made_fill(m, &spec, 5);
    unsigned char *bytes = made_record(m, &size);
    uint64_t seq_id, hash, packed, seed;
    uint32_t tokens, labels, crc;
    float temperature;
    double tau;
    assert_memory_equal(bytes, "RTLR\1\0\0\0", 8);
    memcpy(&seq_id, bytes + 8, 8);
    memcpy(&hash, bytes + 16, 8);
    memcpy(&tokens, bytes + 24, 4);
    memcpy(&labels, bytes + 28, 4);
    memcpy(&packed, bytes + 56, 8);
    memcpy(&temperature, bytes + 68, 4);
    memcpy(&tau, bytes + 72, 8);
    memcpy(&seed, bytes + 80, 8);
    memcpy(&crc, bytes + 88, 4);
    assert_true(seq_id == MADE_SEQ_ID && hash == MADE_INPUT_HASH && packed == size - 92 && seed == 3);
    assert_true(tokens == 36 && labels == 12 && temperature == 1.5f && tau == 0.02);
    assert_memory_equal(bytes + 64, "\0\1\3\0", 4);
    memset(bytes + 88, 0, 4);
    assert_int_equal(crc, crc32c(0, bytes, size));
    mem_free(bytes);
    mem_free(m);
}

static void the_identity_alone(void **state)
{
    (void)state;
    for (int format = 0; format < MADE_FORMATS; format++) {
        const struct label_spec spec = made_spec(format);
        struct made *m = mem_alloc(sizeof *m);
        size_t size;
        made_fill(m, &spec, 5);
        unsigned char *bytes = made_record(m, &size);
        struct record_info info;
        struct err e = {0};
        assert_done(record_info(bytes, size, &info, &e), &e);
        assert_true(info.seq_id == MADE_SEQ_ID && info.input_hash == MADE_INPUT_HASH && info.packed_size == size - 92);
        assert_true(info.tokens == 3 * MADE_LABELS && info.labels == MADE_LABELS);
        assert_true(info.spec.kind == spec.kind && info.spec.values == spec.values && info.spec.seed == spec.seed);
        assert_true(info.spec.temperature == spec.temperature);
        assert_true(spec.kind == LABEL_SAMPLED  ? info.spec.threshold == spec.threshold
                    : spec.kind == LABEL_TOP_K  ? info.spec.k == spec.k
                    : spec.kind == LABEL_HIDDEN ? info.spec.hidden == spec.hidden
                                                : info.spec.draws == spec.draws);
        bytes[size - 1] ^= 1;
        assert_int_equal(record_info(bytes, size, &info, &e), -1);
        mem_free(bytes);
        mem_free(m);
    }
}

/* Stores outlive the program that wrote them: records that were committed when the format was made (the fuzzer's
 * seeds). */
static const char *seeds;

static void committed_records_decode(void **state)
{
    (void)state;
    for (int format = 0; format < MADE_FORMATS; format++) {
        const struct label_spec spec = made_spec(format);
        struct made *m = mem_alloc(sizeof *m);
        char *path = mem_printf("%s/record-%d.bin", seeds, format);
        struct file_map map = {0};
        struct label_set set;
        struct err e = {0};
        made_fill(m, &spec, 5);
        assert_done(file_map_open(&map, path, &e), &e);
        assert_done(decode(map.data, map.size, &spec, &set, &e), &e);
        assert_int_equal(set.labels, 3);
        for (int i = 0; i < set.labels; i++)
            check_label(m, &set, i);
        label_set_release(&set);
        file_map_close(&map);
        mem_free(path);
        mem_free(m);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    seeds = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_comes_back),
        cmocka_unit_test(a_record_without_labels),
        cmocka_unit_test(bytes_are_a_function_of_the_entries),
        cmocka_unit_test(u8_values_are_right_on_average),
        cmocka_unit_test(tail_masses_and_draws),
        cmocka_unit_test(every_flipped_bit_and_every_cut),
        cmocka_unit_test(other_jobs_and_sequences),
        cmocka_unit_test(logits_that_were_not_finite),
        cmocka_unit_test(forged_labels),
        cmocka_unit_test(forged_sizes),
        cmocka_unit_test(the_header_stands_where_record_h_says),
        cmocka_unit_test(the_identity_alone),
        cmocka_unit_test(committed_records_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
