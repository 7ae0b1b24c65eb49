/* What the encodings promise of many draws: the mean of the decoded labels is the teacher's distribution, every label
 * sums to 1, and `sampled` is less noisy than `random` at as many entries. One row of logits stands at many positions
 * of many sequences. */
#include "mpi_test.h"

#include "encoding.h"

enum { VOCABULARY = 2000, ROWS = 500, SEQUENCES = 24, LABELS = ROWS * SEQUENCES };

struct tally {
    double mean[VOCABULARY], noise, entries; /* means over labels: p_hat; |p_hat - p|^2; entries of a label */
    double worst_sum;                        /* |sum p_hat - 1| at its worst */
};

/* ROWS equal rows: p falls as rank^-1.2, ranks over shuffled ids. */
static float *zipf(void)
{
    float *z = mem_array(ROWS * VOCABULARY, sizeof *z);
    int order[VOCABULARY];
    struct rng r;
    rng_init(&r, 5, 5);
    for (int i = 0; i < VOCABULARY; i++) {
        const int j = (int)rng_below(&r, (uint64_t)i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    for (int i = 0; i < ROWS * VOCABULARY; i++)
        z[i] = -1.2f * logf(1 + (float)order[i % VOCABULARY]);
    return z;
}

static void tally_label(struct tally *t, const double *p, const struct label_set *s, int label)
{
    double square = 0, sum = 0;
    for (int i = 0; i < VOCABULARY; i++)
        square += p[i] * p[i];
    for (int64_t i = s->first[label]; i < s->first[label + 1]; i++) {
        const double truth = p[s->ids[i]], off = s->p[i] - truth;
        square += off * off - truth * truth;
        t->mean[s->ids[i]] += s->p[i] / (double)LABELS;
        sum += s->p[i];
    }
    t->noise += square / LABELS;
    t->entries += (double)(s->first[label + 1] - s->first[label]) / LABELS;
    t->worst_sum = fmax(t->worst_sum, fabs(sum - 1));
}

static struct tally *tally(const struct label_spec *spec, double *p)
{
    struct task task = {.rows = ROWS, .V = VOCABULARY, .z = zipf(), .first_position = 0, .chunk = 100};
    struct tally *t = mem_alloc(sizeof *t);
    probabilities(&task, 0, spec->temperature, p);
    for (int i = 0; i < SEQUENCES; i++) {
        task.input_hash = (uint64_t)i * 7919;
        struct label_set s = encode_decode(spec, &world, &task);
        for (int label = 0; label < s.labels; label++)
            tally_label(t, p, &s, label);
        label_set_release(&s);
    }
    mem_free((void *)task.z);
    return t;
}

/* The variance of one label's p_hat for an id that is drawn, each draw being worth `weight`: a systematic draw falls on
 * it at most once, with probability p / weight; the 1 / weight independent ones with p each. */
static double variance(enum label_kind kind, double p, double weight)
{
    return kind == LABEL_SAMPLED ? p * (weight - p) : p * (1 - p) * weight;
}

/* The squared deviations of means over LABELS labels, each over its variance, sum up to about the number of ids. */
static void check_means(const struct tally *t, enum label_kind kind, const double *p, double tau, double weight)
{
    double chi_square = 0;
    int ids = 0;
    for (int i = 0; i < VOCABULARY; i++) {
        const double off = t->mean[i] - p[i];
        if (p[i] >= tau) {
            /* rounding to u8 levels: 1.5 % apart, so at most 0.8 % off, LABELS times; and the tail's mass in u16 */
            assert_true(fabs(off) < 5 * 0.008 * p[i] / sqrt(LABELS) + 1.2e-5);
            continue;
        }
        chi_square += off * off * LABELS / variance(kind, p[i], weight);
        ids++;
    }
    /* deviation sqrt(2 / ids) = 0.032 if ids were independent; systematic draws are less so */
    assert_true(chi_square / ids > 0.8 && chi_square / ids < 1.2);
}

static double mass_below(const double *p, double tau)
{
    double r = 0;
    for (int i = 0; i < VOCABULARY; i++)
        r += p[i] < tau ? p[i] : 0;
    return r;
}

static void means_are_right_and_noise_is_small(void **state)
{
    (void)state;
    const double tau = 0.02;
    const struct label_spec spec = {
        .kind = LABEL_SAMPLED, .values = VALUES_U8, .threshold = tau, .temperature = 1, .seed = 1};
    double p[VOCABULARY];
    struct tally *sampled = tally(&spec, p);
    const double r = mass_below(p, tau), weight = r / ceil(r / tau);
    check_means(sampled, LABEL_SAMPLED, p, tau, weight);
    assert_true(sampled->worst_sum < 1e-6);

    /* as many draws as give random at least as many different ids */
    struct label_spec other = {.kind = LABEL_RANDOM, .values = VALUES_U8, .draws = 10, .temperature = 1, .seed = 1};
    struct tally *drawn = NULL;
    do {
        mem_free(drawn);
        other.draws += 10;
        drawn = tally(&other, p);
        assert_true(other.draws < 200);
    } while (drawn->entries < sampled->entries);
    check_means(drawn, LABEL_RANDOM, p, 1, 1 / (double)other.draws);
    assert_true(drawn->worst_sum < 1e-6);
    assert_true(sampled->noise < drawn->noise);
    /* and as small as theory says */
    double expect = 0;
    for (int i = 0; i < VOCABULARY; i++)
        expect += p[i] < tau ? variance(LABEL_SAMPLED, p[i], weight) : 0;
    assert_true(fabs(sampled->noise / expect - 1) < 0.03);
    mem_free(sampled);
    mem_free(drawn);
}

/* Neighbouring positions, sequences and seeds draw independently: their offsets do not repeat. */
static void draws_differ(void **state)
{
    (void)state;
    const struct label_spec spec = {
        .kind = LABEL_SAMPLED, .values = VALUES_U8, .threshold = 0.02, .temperature = 1, .seed = 1};
    struct label_spec other = spec;
    other.seed = 2;
    struct task task = {.rows = 2, .V = VOCABULARY, .z = zipf(), .input_hash = 1, .first_position = 0, .chunk = 2};
    struct label_set a = encode_decode(&spec, &world, &task), b = encode_decode(&other, &world, &task);
    task.input_hash = 2;
    struct label_set c = encode_decode(&spec, &world, &task);
    const int64_t n = a.first[1], last = n - 1;
    assert_int_not_equal(a.ids[last], b.ids[last]);
    assert_int_not_equal(a.ids[last], c.ids[last]);
    assert_int_not_equal(a.ids[last], a.ids[a.first[2] - 1]);
    label_set_release(&a);
    label_set_release(&b);
    label_set_release(&c);
    mem_free((void *)task.z);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_are_right_and_noise_is_small),
        cmocka_unit_test(draws_differ),
    };
    return mpi_test_run(argc, argv, tests, sizeof tests / sizeof *tests);
}
