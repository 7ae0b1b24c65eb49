/* The encoder against plain definitions in double, over 1 to 4 shards, with masks that leave a shard nothing,
 * temperatures, rows in chunks, equal logits across shards, logits that are not finite. */
#include "mpi_test.h"

#include <stdlib.h>

#include "encoding.h"

enum { ROWS = 8, VOCABULARY = 3001 };

/* Like a language model's: a power law over shuffled ids, with noise; the sharper the row, the lower its entropy. */
static float *make_logits(int64_t rows, int64_t V, uint64_t seed)
{
    float *z = mem_array((size_t)(rows * V), sizeof *z);
    struct rng r;
    rng_init(&r, seed, 1);
    for (int64_t row = 0; row < rows; row++) {
        const double sharp = 0.4 + 2 * rng_uniform(&r), level = 20 * rng_normal(&r);
        for (int64_t j = 0; j < V; j++)
            z[row * V + j] =
                (float)(level - sharp * log(1 + (double)rng_below(&r, (uint64_t)V)) + 0.3 * rng_normal(&r));
    }
    return z;
}

static struct label_spec spec_of(enum label_kind kind, enum label_values values)
{
    return (struct label_spec){
        .kind = kind, .values = values, .threshold = 0.02, .k = 50, .draws = 60, .temperature = 1, .seed = 11};
}

static struct task make_task(uint64_t seed)
{
    return (struct task){.rows = ROWS,
                         .V = VOCABULARY,
                         .z = make_logits(ROWS, VOCABULARY, seed),
                         .input_hash = 1000 + seed,
                         .first_position = 3,
                         .chunk = ROWS};
}

static void free_task(struct task *t)
{
    mem_free((void *)t->z);
    mem_free((void *)t->allowed);
}

/* Most ids, but none of the first fifth and of the last third: with 4 shards, and with 3, one has nothing. */
static uint64_t *make_mask(void)
{
    uint64_t *set = mem_array(VOCABULARY / 64 + 1, sizeof *set);
    for (int64_t j = VOCABULARY / 5; j < VOCABULARY * 2 / 3 - 10; j++)
        set[j / 64] |= (uint64_t)(j % 7 != 0) << j % 64;
    return set;
}

/* f32 exponentials of logits in f32: relative errors of some 1e-7 at the maximum, growing with the distance to it. */
static int near(double x, double expect, double relative)
{
    return fabs(x - expect) <= relative * fabs(expect) + 1e-12;
}

static void check_entropy(const struct label_set *s, int64_t row, double entropy)
{
    assert_true(fabs(s->entropy[row] - entropy) <= (s->kind == LABEL_TOP_K ? 2e-6 : 2e-6 * entropy + 2e-6));
}

/* --- sampled --- */

/* Head and tail of a decoded row: the head is every id with p >= tau, exact up to the scaling to the tail's u16 mass.
 */
static void check_sampled_row(const struct label_spec *spec, const struct task *t, const struct label_set *s,
                              int64_t row)
{
    double *p = mem_array((size_t)t->V, sizeof *p), tail = 0, sum = 0;
    check_entropy(s, row, probabilities(t, row, spec->temperature, p));
    int64_t at = s->first[row], end = s->first[row + 1];
    for (int64_t j = 0; j < t->V; j++)
        tail += p[j] < spec->threshold ? p[j] : 0;
    const double q = round(tail * 65535) / 65535, head_scale = tail < 1 ? (1 - q) / (1 - tail) : 1;
    for (int64_t j = 0; j < t->V; j++) {
        if (p[j] < spec->threshold)
            continue;
        assert_int_equal(s->ids[at], j);
        assert_true(near(s->p[at++], p[j] * head_scale, 5e-6));
    }
    const double draws = ceil(q / spec->threshold), weight = q / draws;
    double drawn = 0;
    for (int64_t i = s->first[row]; i < end; i++)
        sum += s->p[i];
    for (; at < end; at++) {
        assert_true(p[s->ids[at]] > 0 && p[s->ids[at]] < spec->threshold);
        const double times = s->p[at] / weight;
        assert_true(fabs(times - round(times)) < 1e-5 && times > 0.5);
        drawn += round(times);
    }
    assert_true(drawn == draws && fabs(sum - 1) < 1e-6 && s->tail[row] == 0);
    mem_free(p);
}

static void check_sampled(const struct label_spec *spec, const struct task *t)
{
    struct label_set s = encode_decode(spec, &world, t);
    for (int64_t row = 0; row < t->rows; row++)
        check_sampled_row(spec, t, &s, row);
    label_set_release(&s);
}

static void sampled_labels(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++) {
        struct label_spec spec = spec_of(LABEL_SAMPLED, VALUES_F32);
        struct task t = make_task(seed);
        check_sampled(&spec, &t);
        t.allowed = make_mask();
        check_sampled(&spec, &t);
        spec.temperature = 2;
        spec.threshold = 0.005;
        check_sampled(&spec, &t);
        spec.threshold = 0.9; /* hardly a head */
        check_sampled(&spec, &t);
        free_task(&t);
    }
}

/* Four equal ids: p is tau to the last bit, and p >= tau is the head. */
static void an_id_at_the_threshold_is_in_the_head(void **state)
{
    (void)state;
    struct label_spec spec = spec_of(LABEL_SAMPLED, VALUES_F32);
    struct task t = make_task(0);
    float *z = (float *)t.z;
    for (int64_t i = 0; i < t.rows * t.V; i++)
        z[i] = i % t.V % 1000 == 0 && i % t.V > 0 ? 5 : i % t.V == 17 ? 5 : -200;
    spec.threshold = 0.25;
    /* drawn, they would decode to the same: the record's header tells how many stand in heads */
    const struct bytes record = encode(&spec, &world, &t);
    uint64_t heads;
    memcpy(&heads, (char *)record.data + 32, sizeof heads);
    assert_int_equal(heads, 4 * t.rows);
    struct label_set s = decode(&spec, &t, record);
    mem_free(record.data);
    static const uint32_t ids[] = {17, 1000, 2000, 3000};
    for (int64_t row = 0; row < t.rows; row++) {
        assert_int_equal(s.first[row], 4 * row);
        assert_memory_equal(s.ids + 4 * row, ids, sizeof ids);
        assert_true(s.p[4 * row] == 0.25f);
    }
    label_set_release(&s);
    free_task(&t);
}

/* --- top_k --- */

struct candidate {
    double p;
    uint32_t id;
};

static int larger_then_lower_id(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return x->p != y->p ? (x->p < y->p) - (x->p > y->p) : (x->id > y->id) - (x->id < y->id);
}

static int by_id(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* The k best of a row in the order of ids; returns how many there are, and the mass of the rest. */
static int64_t best(const struct task *t, const double *p, int64_t k, struct candidate *c, double *rest)
{
    int64_t n = 0;
    for (int64_t j = 0; j < t->V; j++)
        if (bit(t->allowed, j))
            c[n++] = (struct candidate){p[j], (uint32_t)j};
    qsort(c, (size_t)n, sizeof *c, larger_then_lower_id);
    k = k < n ? k : n;
    *rest = 0;
    for (int64_t i = n - 1; i >= k; i--)
        *rest += c[i].p;
    qsort(c, (size_t)k, sizeof *c, by_id);
    return k;
}

static void check_top_k(const struct label_spec *spec, const struct task *t)
{
    struct label_set s = encode_decode(spec, &world, t);
    double *p = mem_array((size_t)t->V, sizeof *p), rest;
    struct candidate *c = mem_array((size_t)t->V, sizeof *c);
    for (int64_t row = 0; row < t->rows; row++) {
        check_entropy(&s, row, probabilities(t, row, spec->temperature, p));
        const int64_t k = best(t, p, spec->k, c, &rest), at = s.first[row];
        assert_int_equal(s.first[row + 1] - at, k);
        for (int64_t i = 0; i < k; i++) {
            assert_int_equal(s.ids[at + i], c[i].id);
            assert_true(near(s.p[at + i], c[i].p, 5e-6));
        }
        assert_true(rest > 0 ? near(s.tail[row], rest, 5e-6) : s.tail[row] == 0);
    }
    mem_free(c);
    mem_free(p);
    label_set_release(&s);
}

static void top_k_labels(void **state)
{
    (void)state;
    static const int64_t k[] = {1, 5, 12, 50, 700, 2998, VOCABULARY};
    for (int i = 0; i < 7; i++) {
        struct label_spec spec = spec_of(LABEL_TOP_K, VALUES_F32);
        struct task t = make_task((uint64_t)i);
        spec.k = k[i];
        check_top_k(&spec, &t);
        spec.temperature = 1.7;
        t.allowed = make_mask();
        check_top_k(&spec, &t); /* k may be more than what is allowed */
        free_task(&t);
    }
}

/* Logits of few values: the k-th is one of many that are equal, and they stand on all shards. */
static void lower_ids_come_first_among_equals(void **state)
{
    (void)state;
    struct task t = make_task(1);
    float *z = (float *)t.z;
    for (int64_t i = 0; i < t.rows * t.V; i++)
        z[i] = roundf(z[i]) / 2;
    for (int64_t k = 1; k < VOCABULARY; k = k * 2 + 1) {
        struct label_spec spec = spec_of(LABEL_TOP_K, VALUES_F32);
        spec.k = k;
        check_top_k(&spec, &t);
    }
    free_task(&t);
}

/* Of a peaked row nearly every exponential is 0: those ids are listed all the same, and the tail is what remains. */
static void probabilities_of_zero(void **state)
{
    (void)state;
    struct task t = make_task(1);
    float *z = (float *)t.z;
    for (int64_t i = 0; i < t.rows * t.V; i++)
        z[i] = (i % t.V) == 2500 ? 300 : (i % t.V) == 20 ? 290 : (float)(i % 3);
    struct label_spec spec = spec_of(LABEL_TOP_K, VALUES_F32);
    spec.k = 5;
    struct label_set s = encode_decode(&spec, &world, &t);
    static const uint32_t ids[] = {0, 1, 2, 20, 2500}; /* equal in f32: the lowest */
    assert_memory_equal(s.ids, ids, sizeof ids);
    assert_true(s.p[0] == 0 && near(s.p[3], exp(-10) / (1 + exp(-10)), 1e-6) && s.tail[0] == 0);
    label_set_release(&s);
    free_task(&t);
}

/* The tail of a teacher that is nearly sure: 1 - sum(p) in f32 would be 0, or anything. */
static void small_tails_are_exact(void **state)
{
    (void)state;
    struct task t = make_task(1);
    float *z = (float *)t.z;
    for (int64_t i = 0; i < t.rows * t.V; i++)
        z[i] = i % t.V == 1234 ? 30 : (float)(i % 5) * 0.1f;
    struct label_spec spec = spec_of(LABEL_TOP_K, VALUES_F32);
    spec.k = 3;
    check_top_k(&spec, &t); /* relative error of a tail of 3e-10 */
    free_task(&t);
}

/* --- random --- */

static void random_labels(void **state)
{
    (void)state;
    const struct label_spec spec = spec_of(LABEL_RANDOM, VALUES_U8);
    struct task t = make_task(9);
    t.allowed = make_mask();
    struct label_set s = encode_decode(&spec, &world, &t);
    for (int64_t row = 0; row < t.rows; row++) {
        double draws = 0;
        for (int64_t i = s.first[row]; i < s.first[row + 1]; i++) {
            const double times = s.p[i] * (double)spec.draws;
            assert_true(fabs(times - round(times)) < 1e-4 && times > 0.5);
            assert_true(bit(t.allowed, s.ids[i]) && (i == s.first[row] || s.ids[i] > s.ids[i - 1]));
            draws += round(times);
        }
        assert_true(draws == (double)spec.draws);
    }
    label_set_release(&s);
    free_task(&t);
}

/* --- layouts --- */

static void assert_same(struct bytes a, struct bytes b)
{
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    mem_free(b.data);
}

/* Whatever is rounded differently on another number of shards is the f64 sum of exponentials, in its last bits: u8 and
 * f16 values and the places of draws do not see that with these logits, so that records are the same to the bit. */
static void every_layout_makes_the_same_record(void **state)
{
    (void)state;
    struct comm alone;
    comm_split(&alone, &world, world.rank, 0);
    for (int kind = LABEL_SAMPLED; kind <= LABEL_TOP_K; kind++)
        for (int values = VALUES_U8; values <= VALUES_F16; values++) {
            const struct label_spec spec = spec_of((enum label_kind)kind, (enum label_values)values);
            struct task t = make_task(21);
            const struct bytes sharded = encode(&spec, &world, &t);
            assert_same(sharded, encode(&spec, &alone, &t));
            t.chunk = 1;
            assert_same(sharded, encode(&spec, &world, &t));
            t.chunk = 5;
            assert_same(sharded, encode(&spec, &world, &t));
            mem_free(sharded.data);
            free_task(&t);
        }
    comm_free(&alone);
}

static void every_layout_makes_the_same_dense_labels(void **state)
{
    (void)state;
    struct comm alone;
    comm_split(&alone, &world, world.rank, 0);
    struct label_spec spec = spec_of(LABEL_TOP_K, VALUES_F32);
    spec.k = VOCABULARY;
    struct task t = make_task(22);
    struct label_set a = encode_decode(&spec, &world, &t), b = encode_decode(&spec, &alone, &t);
    assert_int_equal(a.first[ROWS], (int64_t)ROWS * VOCABULARY);
    for (int64_t i = 0; i < a.first[ROWS]; i++) {
        assert_int_equal(a.ids[i], i % VOCABULARY);
        assert_true(near(a.p[i], b.p[i], 1.2e-7)); /* the last bit */
    }
    for (int row = 0; row < ROWS; row++)
        assert_true(a.tail[row] == 0 && near(a.entropy[row], b.entropy[row], 1.2e-7));
    label_set_release(&a);
    label_set_release(&b);
    free_task(&t);
    comm_free(&alone);
}

/* --- edges --- */

static void a_sequence_without_labels(void **state)
{
    (void)state;
    for (int kind = LABEL_SAMPLED; kind <= LABEL_TOP_K; kind++) {
        const struct label_spec spec = spec_of((enum label_kind)kind, VALUES_U8);
        struct task t = make_task(2);
        t.rows = 0;
        struct label_set s = encode_decode(&spec, &world, &t);
        label_set_release(&s);
        free_task(&t);
    }
}

/* One encoder, one sequence after the other. */
static void an_encoder_begins_again(void **state)
{
    (void)state;
    const struct label_spec spec = spec_of(LABEL_SAMPLED, VALUES_U8);
    struct task t = make_task(4);
    int64_t first, end;
    shard_range(t.V, world.rank, world.size, &first, &end);
    struct encoder *n = encoder_new(&spec, &world, first, end - first, NULL);
    struct bytes b[2];
    for (int i = 0; i < 2; i++) {
        encoder_begin(n, 5, t.input_hash, t.first_position + ROWS);
        encode_chunk(n, &t, first, end, 0, i ? ROWS : 7); /* a shorter one first */
        b[i].data = encoder_finish(n, &b[i].size);
        comm_broadcast_buffer(&world, &b[i].data, &b[i].size, 0);
    }
    encoder_free(n);
    assert_same(b[1], encode(&spec, &world, &t));
    mem_free(b[0].data);
    mem_free(b[1].data);
    free_task(&t);
}

/* The logits of one row are spoilt on one shard: all shards know, and no student uses the record. */
static void logits_that_are_not_finite(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 9; i++) {
        const struct label_spec spec = spec_of((enum label_kind)(i / 3), VALUES_U8);
        struct task t = make_task(4);
        ((float *)t.z)[5 * VOCABULARY + 1700] = bad[i % 3];
        int64_t first, end;
        shard_range(t.V, world.rank, world.size, &first, &end);
        struct encoder *n = encoder_new(&spec, &world, first, end - first, NULL);
        encoder_begin(n, 5, t.input_hash, t.first_position + ROWS);
        assert_int_equal(encoder_bad_labels(n), 0);
        encode_chunk(n, &t, first, end, 0, ROWS);
        assert_int_equal(encoder_bad_labels(n), 1);
        struct bytes b;
        b.data = encoder_finish(n, &b.size);
        comm_broadcast_buffer(&world, &b.data, &b.size, 0);
        struct label_set set;
        struct err e = {0};
        assert_int_equal(record_decode(b.data, b.size, &spec, 5, t.input_hash, VOCABULARY, &set, &e), -1);
        assert_non_null(strstr(e.text, "label 5: the teacher's logits were not finite"));
        mem_free(b.data);
        encoder_free(n);
        free_task(&t);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sampled_labels),
        cmocka_unit_test(an_id_at_the_threshold_is_in_the_head),
        cmocka_unit_test(top_k_labels),
        cmocka_unit_test(lower_ids_come_first_among_equals),
        cmocka_unit_test(probabilities_of_zero),
        cmocka_unit_test(small_tails_are_exact),
        cmocka_unit_test(random_labels),
        cmocka_unit_test(every_layout_makes_the_same_record),
        cmocka_unit_test(every_layout_makes_the_same_dense_labels),
        cmocka_unit_test(a_sequence_without_labels),
        cmocka_unit_test(an_encoder_begins_again),
        cmocka_unit_test(logits_that_are_not_finite),
    };
    return mpi_test_run(argc, argv, tests, sizeof tests / sizeof *tests);
}
