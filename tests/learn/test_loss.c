/* The losses against their definitions in double (loss_ref), and those against finite differences: temperatures, masks,
 * every kind of label, tails near zero and near one, any number of vocabulary shards. The head is the identity, so that
 * hidden states are logits and dL/dh is dL/dz. */
#include "mpi_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "learn/loss.h"

enum { V = 150, ROWS = 21 };

/* --- a head that changes nothing --- */

static struct model model;
static struct param head;
static struct arena arena;

static void make_model(void)
{
    arena_init(&arena);
    int64_t first = V * world.rank / world.size, end = V * (world.rank + 1) / world.size;
    float *w = arena_alloc(&arena, (size_t)((end - first) * V), sizeof *w);
    for (int64_t i = first; i < end; i++)
        w[(i - first) * V + i] = 1;
    head = (struct param){.data = w, .dtype = DTYPE_F32, .rows = {first, end}, .cols = {0, V}};
    model = (struct model){.shards = world, .head = &head, .shard = {.count = world.size, .vocab = {first, end}}};
    model.config.hidden_size = model.config.vocab_size = V;
    struct err e = {0};
    assert_done(gemm_start(1, &e), &e);
}

/* --- labels --- */

struct labels {
    struct label_set set;
    int64_t first[ROWS + 1];
    uint32_t ids[ROWS * V];
    float p[ROWS * V], tail[ROWS], entropy[ROWS];
};

static bool bit(const uint64_t *bits, int64_t j)
{
    return !bits || (bits[j / 64] >> (j % 64) & 1);
}

/* Each row: `entries` distinct allowed ids with random masses that sum to 1 - tail. */
static void make_labels(struct labels *l, enum label_kind kind, int entries, double tail, const uint64_t *allowed,
                        uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed, 0);
    int64_t n = 0;
    for (int i = 0; i < ROWS; i++) {
        double mass = 0;
        l->first[i] = n;
        for (int64_t j = (int64_t)rng_below(&r, 3); j < V && n - l->first[i] < entries;
             j += 1 + (int64_t)rng_below(&r, 2))
            if (bit(allowed, j)) {
                l->ids[n] = (uint32_t)j;
                l->p[n] = (float)exp(3 * rng_normal(&r));
                mass += l->p[n++];
            }
        for (int64_t k = l->first[i]; k < n; k++)
            l->p[k] = (float)(l->p[k] / mass * (1 - tail));
        l->tail[i] = kind == LABEL_TOP_K ? (float)tail : 0;
        l->entropy[i] = (float)(0.5 + rng_uniform(&r));
    }
    l->first[ROWS] = n;
    l->set = (struct label_set){.kind = kind,
                                .labels = ROWS,
                                .first = l->first,
                                .ids = l->ids,
                                .p = l->p,
                                .tail = l->tail,
                                .entropy = l->entropy};
}

static void make_logits(float *z, double spread, uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed, 1);
    for (int i = 0; i < ROWS * V; i++)
        z[i] = (float)(spread * rng_normal(&r));
}

/* --- fast against defined --- */

static uint64_t *local_bits(const uint64_t *allowed)
{
    struct range v = model.shard.vocab;
    uint64_t *bits = mem_array((size_t)(v.end - v.first + 63) / 64, sizeof *bits);
    for (int64_t j = v.first; j < v.end; j++)
        if (bit(allowed, j))
            bits[(j - v.first) / 64] |= (uint64_t)1 << ((j - v.first) % 64);
    return bits;
}

/* set: what the loss is given; defined: what the definition is. They differ for hidden labels, whose head it is. */
static void compare_sets(struct loss_spec spec, const struct label_set *set, const struct label_set *defined,
                         struct matrix teacher_head, const float *z)
{
    static float dh[ROWS * V];
    struct target targets[ROWS];
    struct loss_sums sums = {0}, expected = {0};
    double weight = 1.0 / 17;
    for (int i = 0; i < ROWS; i++)
        targets[i] = (struct target){(uint32_t)(i * 7 % V), set, i};
    struct loss_spec local = spec;
    uint64_t *bits = spec.allowed ? local_bits(spec.allowed) : NULL;
    local.allowed = bits;
    local.teacher_head = teacher_head;
    struct err e = {0};
    struct loss *loss = loss_new(&model, &local, 8, &e); /* three chunks, the last one short */
    assert_non_null(loss);
    loss_run(loss, z, targets, ROWS, weight, dh, &sums);
    for (int i = 0; i < ROWS; i++) {
        double dz[V] = {0}, largest = 0;
        const struct target by_definition = {targets[i].id, defined, i};
        loss_ref(&spec, z + i * V, V, &by_definition, dz, &expected);
        for (int j = 0; j < V; j++)
            largest = fmax(largest, fabs(dz[j]));
        for (int j = 0; j < V; j++) /* f32 probabilities: a few units of 6e-8, and exp's 1e-7 */
            assert_true(fabs(dh[i * V + j] / weight - dz[j]) <= 2e-6 * largest + 1e-9);
    }
    assert_true(fabs(sums.ce - expected.ce) <= 1e-6 * fabs(expected.ce) + 1e-5);
    assert_true(fabs(sums.kl - expected.kl) <= 1e-6 * fabs(expected.kl) + 1e-5);
    assert_int_equal(sums.positions, ROWS);
    loss_free(loss);
    mem_free(bits);
}

static void compare(struct loss_spec spec, const struct labels *l, const float *z)
{
    const struct label_set *set = l ? &l->set : NULL;
    compare_sets(spec, set, set, (struct matrix){0}, z);
}

static const struct loss_spec plain = {
    .temperature = 1, .alpha = 0.7, .beta = 0.3, .temperature_squared = true, .tail = true};

static void cross_entropy_alone(void **state)
{
    (void)state;
    static float z[ROWS * V];
    make_logits(z, 2, 1);
    compare((struct loss_spec){.temperature = 1, .beta = 1}, NULL, z);
    make_logits(z, 40, 2);
    compare((struct loss_spec){.temperature = 1, .beta = 1}, NULL, z);
}

static void every_kind_of_label(void **state)
{
    (void)state;
    static float z[ROWS * V];
    static struct labels l;
    make_logits(z, 3, 3);
    make_labels(&l, LABEL_SAMPLED, 12, 0, NULL, 4);
    compare(plain, &l, z);
    make_labels(&l, LABEL_RANDOM, 30, 0, NULL, 5);
    compare(plain, &l, z);
    for (double tail = 0.9; tail > 1e-9; tail /= 30) {
        make_labels(&l, LABEL_TOP_K, 12, tail, NULL, 6);
        compare(plain, &l, z);
    }
    make_labels(&l, LABEL_TOP_K, V, 0, NULL, 7);
    compare(plain, &l, z);
}

static void an_id_that_is_listed_twice(void **state)
{
    (void)state;
    static float z[ROWS * V];
    static struct labels l;
    make_logits(z, 3, 8);
    make_labels(&l, LABEL_SAMPLED, 12, 0, NULL, 9);
    for (int i = 0; i < ROWS; i++)
        l.ids[l.first[i] + 1] = l.ids[l.first[i]];
    compare(plain, &l, z);
}

static void temperatures_and_masks(void **state)
{
    (void)state;
    static float z[ROWS * V];
    static struct labels l;
    uint64_t allowed[3] = {UINT64_MAX, 0x00ff00ffff00f0f1, 0x3ff};
    make_logits(z, 5, 10);
    const double temperatures[] = {1, 2, 0.5};
    for (int k = 0; k < 3; k++)
        for (int masked = 0; masked < 2; masked++)
            for (int squared = 0; squared < 2; squared++) {
                struct loss_spec s = plain;
                s.temperature = temperatures[k];
                s.temperature_squared = squared;
                s.allowed = masked ? allowed : NULL;
                make_labels(&l, LABEL_TOP_K, 9, 0.03, s.allowed, 11);
                compare(s, &l, z);
                make_labels(&l, LABEL_SAMPLED, 9, 0, s.allowed, 12);
                compare(s, &l, z);
            }
}

/* --- labels that are states --- */

enum { WIDTH = 9 };

/* The distributions of states[ROWS, WIDTH] under a head [V, WIDTH], at a temperature over the allowed ids, and their
 * entropies. */
static void distributions(struct labels *l, const float *states, const float *head_rows, double temperature,
                          const uint64_t *allowed)
{
    int64_t n = 0;
    for (int i = 0; i < ROWS; i++) {
        double logits[V], sum = 0;
        l->first[i] = n;
        for (int j = 0; j < V; j++) {
            logits[j] = 0;
            for (int k = 0; k < WIDTH; k++)
                logits[j] += (double)states[i * WIDTH + k] * (double)head_rows[j * WIDTH + k] / temperature;
            sum += bit(allowed, j) ? exp(logits[j]) : 0;
        }
        double entropy = 0;
        for (int j = 0; j < V; j++)
            if (bit(allowed, j)) {
                const double p = exp(logits[j]) / sum;
                l->ids[n] = (uint32_t)j;
                l->p[n++] = (float)p;
                entropy -= p * log(p);
            }
        l->entropy[i] = (float)entropy;
    }
    l->first[ROWS] = n;
}

static void hidden_labels(void **state)
{
    (void)state;
    static float z[ROWS * V], head_rows[V * WIDTH], states[ROWS * WIDTH];
    static struct labels l;
    const struct range v = model.shard.vocab;
    const uint64_t allowed[3] = {UINT64_MAX, 0x00ff00ffff00f0f1, 0x3ff};
    struct rng r;
    rng_init(&r, 21, 0);
    for (int i = 0; i < V * WIDTH; i++)
        head_rows[i] = (float)rng_normal(&r);
    for (int i = 0; i < ROWS * WIDTH; i++)
        states[i] = (float)rng_normal(&r);
    make_logits(z, 3, 22);
    for (int variant = 0; variant < 4; variant++) {
        struct loss_spec s = plain;
        s.tail = false;
        s.temperature = variant % 2 ? 2 : 1;
        s.allowed = variant / 2 ? allowed : NULL;
        make_labels(&l, LABEL_SAMPLED, V, 0, s.allowed, 23);
        distributions(&l, states, head_rows, s.temperature, s.allowed);
        static const int64_t none[ROWS + 1];
        const struct label_set set = {
            .kind = LABEL_HIDDEN, .labels = ROWS, .first = none, .tail = l.tail, .hidden = states, .width = WIDTH};
        const struct matrix part = {head_rows + v.first * WIDTH, DTYPE_F32, v.end - v.first, WIDTH, NULL};
        compare_sets(s, &set, &l.set, part, z);
    }
}

/* --- defined against differences --- */

static void gradients_are_the_slopes(void **state)
{
    (void)state;
    static float z[ROWS * V];
    static struct labels l;
    make_logits(z, 2, 13);
    for (int kind = 0; kind < 2; kind++)
        for (double tail = 0.2; tail > 1e-7; tail /= 1000) {
            make_labels(&l, kind ? LABEL_TOP_K : LABEL_SAMPLED, 10, kind ? tail : 0, NULL, 14);
            struct loss_spec s = plain;
            s.temperature = 1.5;
            struct target t = {5, &l.set, 2};
            struct loss_sums sums = {0};
            double dz[V] = {0}, unused[V];
            float *row = z + 2 * V;
            loss_ref(&s, row, V, &t, dz, &sums);
            for (int j = 0; j < V; j += 3) {
                /* powers of two: row +- h is exact in f32, and 2h is what was moved */
                const float keep = row[j], h = 0x1p-10f;
                row[j] = keep + h;
                double up = loss_ref(&s, row, V, &t, unused, &sums), moved = row[j];
                row[j] = keep - h;
                double down = loss_ref(&s, row, V, &t, unused, &sums);
                moved -= row[j];
                row[j] = keep;
                assert_true(fabs((up - down) / moved - dz[j]) < 1e-5);
            }
        }
}

/* Teacher and student alike: no difference to learn. */
static void identical_distributions_have_no_kl(void **state)
{
    (void)state;
    static float z[ROWS * V], dh[ROWS * V];
    static struct labels l;
    make_logits(z, 3, 15);
    make_labels(&l, LABEL_TOP_K, V, 0, NULL, 16);
    int64_t n = 0;
    for (int i = 0; i < ROWS; i++) {
        double sum = 0;
        for (int j = 0; j < V; j++)
            sum += exp(z[i * V + j]);
        l.first[i] = n;
        for (int j = 0; j < V; j++, n++) {
            l.ids[n] = (uint32_t)j;
            l.p[n] = (float)(exp(z[i * V + j]) / sum);
        }
    }
    l.first[ROWS] = n;
    struct target targets[ROWS];
    for (int i = 0; i < ROWS; i++)
        targets[i] = (struct target){0, &l.set, i};
    struct loss_spec s = {.temperature = 1, .alpha = 1};
    struct loss_sums sums = {0};
    struct err e = {0};
    struct loss *loss = loss_new(&model, &s, ROWS, &e);
    loss_run(loss, z, targets, ROWS, 1, dh, &sums);
    assert_true(fabs(sums.kl / ROWS) < 1e-6);
    for (int i = 0; i < ROWS * V; i++)
        assert_true(fabsf(dh[i]) < 1e-6f);
    loss_free(loss);
}

static void log_probabilities(void **state)
{
    (void)state;
    static float z[ROWS * V];
    struct target targets[ROWS];
    double logp[ROWS];
    unsigned char correct[ROWS];
    make_logits(z, 3, 17);
    for (int i = 0; i < ROWS; i++)
        targets[i] = (struct target){.id = (uint32_t)(i * 11 % V)};
    z[3 * V + 33] = 50; /* row 3: its target wins */
    struct loss_spec s = {.temperature = 1, .beta = 1};
    struct err e = {0};
    struct loss *loss = loss_new(&model, &s, ROWS, &e);
    loss_log_probabilities(loss, z, targets, ROWS, logp, correct);
    for (int i = 0; i < ROWS; i++) {
        double dz[V] = {0}, largest = -INFINITY;
        struct loss_sums sums = {0};
        loss_ref(&s, z + i * V, V, &targets[i], dz, &sums);
        for (int j = 0; j < V; j++)
            largest = fmax(largest, z[i * V + j]);
        assert_true(fabs(logp[i] + sums.ce) < 1e-5);
        assert_int_equal(correct[i], z[i * V + targets[i].id] >= largest);
    }
    assert_int_equal(correct[3], 1);
    loss_free(loss);
}

static void begin(void **state)
{
    (void)state;
    make_model();
}

static void finish(void **state)
{
    (void)state;
    arena_release(&arena);
    gemm_stop();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begin),
        cmocka_unit_test(cross_entropy_alone),
        cmocka_unit_test(every_kind_of_label),
        cmocka_unit_test(an_id_that_is_listed_twice),
        cmocka_unit_test(hidden_labels),
        cmocka_unit_test(temperatures_and_masks),
        cmocka_unit_test(gradients_are_the_slopes),
        cmocka_unit_test(identical_distributions_have_no_kl),
        cmocka_unit_test(log_probabilities),
        cmocka_unit_test(finish),
    };
    return mpi_test_run(argc, argv, tests, sizeof tests / sizeof *tests);
}
