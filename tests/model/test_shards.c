/* A model cut over any number of shards against the same model whole: logits, every gradient, decoding with a cache,
 * saving. Each rank also holds the whole model and compares its own part. Families with biases, head norms, tied
 * embeddings; heads and KV heads that do not divide evenly; adapters with dropout. */
#include "mpi_test.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "fmt/safetensors.h"
#include "model/halves.h"
#include "model/model.h"
#include "model/save.h"
#include "model_maker.h"
#include "par/agree.h"
#include "par/window.h"

enum { T = 40, LONG = 700, ROWS = 17 };

static char directory[64];
static struct comm self;

/* --- one batch --- */

static uint32_t ids[LONG];
static int32_t position[LONG], rows[ROWS];
static const int32_t short_start[] = {0, 1, 9, 30, T}, long_start[] = {0, 1, 90, 201, LONG};
static uint64_t place[LONG];

/* tokens: T or LONG */
static struct batch make_batch(uint64_t seed, int tokens)
{
    const int32_t *start = tokens == T ? short_start : long_start;
    struct rng r;
    rng_init(&r, seed, 0);
    for (int d = 0; d < 4; d++)
        for (int32_t i = start[d]; i < start[d + 1]; i++) {
            ids[i] = (uint32_t)rng_below(&r, 320);
            position[i] = i - start[d];
            place[i] = 3ull << 32 | (uint64_t)i;
        }
    for (int i = 0; i < ROWS; i++)
        rows[i] = 1 + (tokens - 4) / (ROWS - 1) * i;
    return (struct batch){.T = tokens,
                          .documents = 4,
                          .ids = ids,
                          .position = position,
                          .start = start,
                          .place = place,
                          .dropout_key = 5,
                          .last = true};
}

/* --- running --- */

struct run {
    struct model *m;
    float *logits; /* [ROWS, local vocabulary] */
};

/* Small random adapters: with B zero nothing would reach A. */
static void stir_adapter(struct model *m)
{
    for (int i = 0; i < m->param_count; i++) {
        struct param *p = &m->params[i];
        int64_t cols = param_local_cols(p);
        float *x = (float *)p->data;
        for (int64_t k = 0; p->part == PART_LORA_B && k < param_elements(p); k++) {
            int64_t element = (p->rows.first + k / cols) * p->global_cols + p->cols.first + k % cols;
            struct rng_block b = rng_philox(7, (uint64_t)element, (uint64_t)p->layer);
            x[k] = (float)(rng_to_uniform(b.v[0], b.v[1]) - 0.5) * 0.2f;
        }
    }
}

/* dL/dlogits is a fixed pattern over the whole vocabulary. */
static float pattern(int64_t row, int64_t id)
{
    return (float)((row * 7919 + id * 104729) % 2003) / 1001.5f - 1;
}

static void run_model(struct run *r, const struct model_options *o, const struct comm *shards, const struct batch *b)
{
    struct err e = {0};
    assert_done(model_open(&r->m, directory, o, shards, "--model", &e), &e);
    struct model *m = r->m;
    if (o->adapter.rank) {
        model_init_adapter(m, 3);
        stir_adapter(m);
    }
    int64_t V = m->shard.vocab.end - m->shard.vocab.first, d = m->config.hidden_size;
    float *h = mem_array((size_t)(ROWS * d), sizeof *h), *dh = mem_array((size_t)(ROWS * d), sizeof *dh);
    float *dlogits = mem_array((size_t)(ROWS * V), sizeof *dlogits);
    r->logits = mem_array((size_t)(ROWS * V), sizeof *r->logits);
    struct tape *t = tape_new(m, b->T, m->config.layers, &e);
    assert_non_null(t);
    for (int repeat = 0; repeat < 2; repeat++) { /* gradients accumulate: the second time they double */
        struct batch now = *b;
        now.last = repeat == 1;
        model_forward(m, t, &now);
        model_final_norm(m, t, rows, ROWS, h);
        model_logits(m, h, ROWS, r->logits);
        for (int64_t i = 0; i < ROWS; i++)
            for (int64_t j = 0; j < V; j++)
                dlogits[i * V + j] = pattern(i, m->shard.vocab.first + j);
        model_logits_backward(m, dh, dlogits, h, ROWS);
        sum_f32(shards, dh, ROWS * d);
        model_backward(m, t, &now, rows, ROWS, dh, NULL, NULL);
    }
    tape_free(t);
    mem_free(h);
    mem_free(dh);
    mem_free(dlogits);
}

static void end_run(struct run *r)
{
    model_close(r->m);
    mem_free(r->logits);
}

/* --- comparing --- */

static void compare_logits(const struct run *part, const struct run *whole)
{
    int64_t first = part->m->shard.vocab.first, V = part->m->shard.vocab.end - first, all = whole->m->config.vocab_size;
    double largest = 0, worst = 0;
    for (int64_t i = 0; i < ROWS * all; i++)
        largest = fmax(largest, fabs(whole->logits[i]));
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t j = 0; j < V; j++)
            worst = fmax(worst, fabs(part->logits[i * V + j] - whole->logits[i * all + first + j]));
    assert_true(isfinite(largest) && largest > 0.1);
    assert_true(worst <= 1e-5 * largest); /* SEMANTICS: over layouts, f32 */
}

static void compare_gradient(const struct run *part, const struct run *whole, int i)
{
    const struct param *p = &part->m->params[i], *w = &whole->m->params[i];
    assert_string_equal(p->name, w->name);
    assert_int_equal(p->trainable, w->trainable);
    if (!p->trainable)
        return;
    const float *a = part->m->gradient + p->offset, *b = whole->m->gradient + w->offset;
    double largest = 0, worst = 0;
    int64_t cols = param_local_cols(p);
    for (int64_t k = 0; k < param_elements(w); k++)
        largest = fmax(largest, fabs(b[k]));
    for (int64_t k = 0; k < param_elements(p); k++) {
        int64_t at = (p->rows.first + k / cols) * p->global_cols + p->cols.first + k % cols;
        worst = fmax(worst, fabs(a[k] - b[at]));
    }
    if (!(largest > 0 && worst <= 2e-5 * largest))
        fail_msg("%s: gradient differs by %g of %g", p->name, worst, largest);
}

/* Each element of the whole model is counted on exactly one shard. */
static void check_ownership(const struct run *part)
{
    double counted = 0, expected = 0;
    for (int i = 0; i < part->m->param_count; i++) {
        const struct param *p = &part->m->params[i];
        counted += (double)((param_local_rows(p) - p->owned_first) * param_local_cols(p));
        expected += (double)(p->global_rows * p->global_cols);
    }
    sum_f64(&world, &counted, 1);
    assert_true(counted == expected);
}

static void compare_decoding(const struct run *part, const struct run *whole)
{
    struct err e = {0};
    const struct run *both[2] = {part, whole};
    float *out[2];
    for (int k = 0; k < 2; k++) {
        const struct model *m = both[k]->m;
        struct tape *t = tape_new(m, 8, TAPE_INFERENCE, &e);
        struct kv_cache *c = kv_cache_new(m, 12, &e);
        out[k] = mem_array((size_t)m->config.vocab_size, sizeof(float));
        model_decode(m, t, c, ids + 9, 8, out[k]);
        model_decode(m, t, c, ids + 17, 1, out[k]);
        model_decode(m, t, c, ids + 18, 3, out[k]);
        kv_cache_free(c);
        tape_free(t);
    }
    int64_t first = part->m->shard.vocab.first;
    for (int64_t j = 0; j < part->m->shard.vocab.end - first; j++)
        assert_true(fabsf(out[0][j] - out[1][first + j]) <= 1e-4f);
    mem_free(out[0]);
    mem_free(out[1]);
}

/* Written by all shards, read again by one: the same bytes as the original. */
static void compare_saved(const struct run *part)
{
    struct err e = {0};
    char *copy = mem_printf("%s-copy", directory), *path = file_join(copy, "model.safetensors");
    if (world.rank == 0)
        assert_done(file_make_directories(copy, &e), &e);
    comm_barrier(&world);
    assert_done(model_save(part->m, copy, DTYPE_F32, false, &e), &e);
    char *original = file_join(directory, "model.safetensors");
    struct safetensors *a, *b;
    assert_done(safetensors_open(&a, original, &e), &e);
    assert_done(safetensors_open(&b, path, &e), &e);
    assert_int_equal(safetensors_count(a), safetensors_count(b));
    for (int i = 0; i < safetensors_count(a); i++) {
        const struct tensor *x = safetensors_at(a, i), *y = safetensors_find(b, x->name);
        assert_non_null(y);
        assert_int_equal(x->bytes, y->bytes);
        assert_memory_equal(x->data, y->data, x->bytes);
    }
    safetensors_close(a);
    safetensors_close(b);
    comm_barrier(&world);
    if (world.rank == 0)
        assert_done(file_remove_tree(copy, &e), &e);
    mem_free(copy);
    mem_free(path);
    mem_free(original);
}

/* --- cases --- */

static void write_model(const struct model_config *c)
{
    struct err e = {0};
    snprintf(directory, sizeof directory, "/tmp/retort-shards-%d", world.rank == 0 ? (int)getpid() : 0);
    comm_broadcast(&world, directory, sizeof directory, 0);
    if (world.rank == 0) {
        file_remove_tree(directory, &e);
        assert_done(model_maker_write(directory, c, 11, DTYPE_F32, &e), &e);
    }
    comm_barrier(&world);
}

static void check_case(const struct model_config *c, const struct model_options *o, bool save)
{
    struct run part = {0}, whole = {0};
    write_model(c);
    struct batch b = make_batch(1, T);
    run_model(&part, o, &world, &b);
    run_model(&whole, o, &self, &b);
    compare_logits(&part, &whole);
    for (int i = 0; i < part.m->param_count; i++)
        compare_gradient(&part, &whole, i);
    check_ownership(&part);
    compare_decoding(&part, &whole);
    if (save)
        compare_saved(&part);
    end_run(&part);
    end_run(&whole);
    struct err e = {0};
    comm_barrier(&world);
    if (world.rank == 0)
        assert_done(file_remove_tree(directory, &e), &e);
}

static const struct model_options train_all = {.precision = PRECISION_F32, .train_base = true, .positions = 64};

static void every_family(void **state)
{
    (void)state;
    const char *const families[] = {"llama", "mistral", "qwen2", "qwen3"};
    comm_split(&self, &world, world.rank, 0);
    for (int i = 0; i < 4; i++) {
        struct model_config c;
        model_maker_config(&c, families[i]);
        check_case(&c, &train_all, true);
    }
}

static void heads_that_do_not_divide(void **state)
{
    (void)state;
    const char *const families[] = {"llama", "qwen2", "qwen3"};
    for (int i = 0; i < 3; i++) {
        struct model_config c;
        model_maker_config(&c, families[i]);
        c.heads = 9;
        c.kv_heads = 3;
        c.intermediate_size = 97;
        c.vocab_size = 331;
        c.tie_word_embeddings = i == 0;
        check_case(&c, &train_all, true);
    }
}

static void adapters(void **state)
{
    (void)state;
    const char *all[] = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
    for (int dropout = 0; dropout < 2; dropout++) {
        struct model_config c;
        model_maker_config(&c, "llama");
        c.heads = 9;
        c.kv_heads = 3;
        struct model_options o = {.precision = PRECISION_F32,
                                  .train_adapter = true,
                                  .positions = 64,
                                  .dropout = dropout ? 0.25f : 0,
                                  .adapter = {.rank = 5, .alpha = 8, .targets = (char **)all, .target_count = 7}};
        check_case(&c, &o, false);
        o.adapter.target_count = 2;
        o.adapter.rslora = true;
        check_case(&c, &o, false);
    }
}

/* logits[ROWS, vocabulary of the shard] of the model in `directory`; returns how many. */
static int64_t logits_of(const struct model_options *o, float **logits)
{
    struct batch b = make_batch(1, T);
    struct err e = {0};
    struct model *m;
    b.place = NULL;
    assert_done(model_open(&m, directory, o, &world, "--model", &e), &e);
    const int64_t V = m->shard.vocab.end - m->shard.vocab.first;
    struct tape *t = tape_new(m, T, TAPE_INFERENCE, &e);
    float *h = mem_array((size_t)(ROWS * m->config.hidden_size), sizeof *h);
    *logits = mem_array((size_t)(ROWS * V), sizeof **logits);
    model_forward(m, t, &b);
    model_final_norm(m, t, rows, ROWS, h);
    model_logits(m, h, ROWS, *logits);
    tape_free(t);
    mem_free(h);
    model_close(m);
    return ROWS * V;
}

static void bf16_operands(void **state)
{
    (void)state;
    struct model_config c;
    model_maker_config(&c, "llama");
    write_model(&c);
    float *half, *full;
    struct model_options o = {.precision = PRECISION_BF16, .positions = 64};
    logits_of(&o, &half);
    o.precision = PRECISION_F32;
    const int64_t n = logits_of(&o, &full);
    double largest = 0, worst = 0;
    for (int64_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs(full[i]));
        worst = fmax(worst, fabs(half[i] - full[i]));
    }
    assert_true(worst > 0 && worst < 3e-2 * largest); /* 8 bits of mantissa over two blocks */
    mem_free(half);
    mem_free(full);
    comm_barrier(&world);
}

/* Gradients of a model that computes in bf16, and saves what it computes in bf16, are near those of f32. */
static void bf16_gradients(void **state)
{
    (void)state;
    static const char *const families[] = {"llama", "qwen3"};
    for (int f = 0; f < 2; f++) {
        struct model_config c;
        model_maker_config(&c, families[f]);
        write_model(&c);
        struct batch b = make_batch(1, T);
        struct model_options o = train_all;
        struct run full, half;
        b.place = NULL;
        run_model(&full, &o, &world, &b);
        o.precision = PRECISION_BF16;
        run_model(&half, &o, &world, &b);
        double difference = 0, norm = 0;
        for (int64_t i = 0; i < full.m->trainable_count; i++) {
            difference += pow(half.m->gradient[i] - full.m->gradient[i], 2);
            norm += pow(full.m->gradient[i], 2);
        }
        assert_true(difference > 0 && sqrt(difference / norm) < 2e-2);
        end_run(&full);
        end_run(&half);
        comm_barrier(&world);
    }
}

/* A model that only runs forward may keep its weights as the GEMM likes them: to the same bits. */
static void forward_only(void **state)
{
    (void)state;
    static const char *const families[] = {"llama", "qwen2"};
    for (int i = 0; i < 4; i++) {
        struct model_config c;
        model_maker_config(&c, families[i / 2]);
        c.tie_word_embeddings = i / 2;
        write_model(&c);
        struct model_options o = {.precision = i % 2 ? PRECISION_BF16 : PRECISION_F32, .positions = 64};
        float *plain, *packed;
        const int64_t n = logits_of(&o, &plain);
        o.forward_only = true;
        logits_of(&o, &packed);
        assert_memory_equal(plain, packed, (size_t)n * sizeof *plain);
        mem_free(plain);
        mem_free(packed);
        comm_barrier(&world);
    }
}

/* The whole batch as one document that goes into a cache: logits after it, which the caller frees. */
static float *decode_long(const struct model *m)
{
    struct err e = {0};
    struct tape *t = tape_new(m, LONG, TAPE_INFERENCE, &e);
    struct kv_cache *c = kv_cache_new(m, LONG, &e);
    float *logits = mem_array((size_t)m->config.vocab_size, sizeof *logits);
    model_decode(m, t, c, ids, LONG, logits);
    kv_cache_free(c);
    tape_free(t);
    return logits;
}

static void same_bits(const struct model_options *o, const struct comm *apart)
{
    struct run together, in_halves;
    const struct batch b = make_batch(1, LONG);
    run_model(&together, o, &world, &b);
    run_model(&in_halves, o, apart, &b);
    const struct model *m = together.m;
    const int64_t V = m->shard.vocab.end - m->shard.vocab.first;
    assert_memory_equal(together.logits, in_halves.logits, (size_t)(ROWS * V) * sizeof(float));
    assert_memory_equal(m->gradient, in_halves.m->gradient, (size_t)m->trainable_count * sizeof(float));
    float *decoded = decode_long(m), *decoded_apart = decode_long(in_halves.m);
    assert_memory_equal(decoded, decoded_apart, (size_t)V * sizeof(float));
    mem_free(decoded);
    mem_free(decoded_apart);
    end_run(&together);
    end_run(&in_halves);
}

/* That there are halves at all, and that they are the batch. */
static void check_cut(const struct model_options *o, const struct comm *shards, bool expected)
{
    struct err e = {0};
    struct model *m;
    struct half cut[2];
    const struct batch b = make_batch(1, LONG);
    assert_done(model_open(&m, directory, o, shards, "--model", &e), &e);
    struct tape *t = tape_new(m, LONG, TAPE_INFERENCE, &e);
    assert_int_equal(halves_cut(cut, t, &b), expected ? 2 : 1);
    assert_int_equal(cut[0].b.T + (expected ? cut[1].b.T : 0), LONG);
    if (expected) { /* the second has the rows from 201 + 2 * 64 on, of a document that began at 201 */
        assert_int_equal(cut[0].b.T, 329);
        assert_int_equal(cut[0].b.documents, 4);
        assert_int_equal(cut[1].b.documents, 1);
        assert_int_equal(cut[1].b.start[0], -128);
        assert_ptr_equal(cut[1].b.ids, b.ids + 329);
    }
    tape_free(t);
    model_close(m);
}

/* Shards that reach each other by messages compute a batch in two halves, and hide their sums behind products: nobody
 * sees that from the numbers. */
static void halves(void **state)
{
    (void)state;
    static const char *const families[] = {"llama", "qwen2", "qwen3"};
    static const char *all[] = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
    struct comm apart;
    comm_duplicate(&apart, &world);
    window_refuse(&apart);
    for (int i = 0; i < 6; i++) {
        struct model_config c;
        model_maker_config(&c, families[i / 2]);
        write_model(&c);
        struct model_options o = {
            .precision = i % 2 ? PRECISION_BF16 : PRECISION_F32, .train_base = true, .positions = LONG};
        check_cut(&o, &world, false);
        check_cut(&o, &apart, world.size > 1 && o.precision == PRECISION_BF16);
        same_bits(&o, &apart);
        o.train_base = false;
        o.train_adapter = true;
        o.dropout = 0.25f;
        o.adapter = (struct adapter_config){.rank = 5, .alpha = 8, .targets = (char **)all, .target_count = 7};
        same_bits(&o, &apart);
        comm_barrier(&world);
    }
    comm_free(&apart);
}

static void too_many_shards(void **state)
{
    (void)state;
    struct model_config c;
    struct model *m;
    struct err e = {0};
    model_maker_config(&c, "llama");
    c.heads = c.kv_heads = 1;
    write_model(&c);
    if (world.size > 1) {
        assert_int_equal(model_open(&m, directory, &train_all, &world, "student.model", &e), -1);
        assert_int_equal(e.code, ERR_USAGE);
    }
    comm_barrier(&world);
    if (world.rank == 0)
        assert_done(file_remove_tree(directory, &e), &e);
}

/* A NaN is found on the shard that holds it, and every shard learns of it. */
static void a_weight_that_is_no_number(void **state)
{
    (void)state;
    struct model_config c;
    struct model *m;
    struct err e = {0};
    model_maker_config(&c, "llama");
    write_model(&c);
    if (world.rank == 0)
        assert_done(model_maker_spoil(directory, "model.layers.1.mlp.gate_proj.weight", &e), &e);
    comm_barrier(&world);
    assert_int_equal(model_open(&m, directory, &train_all, &world, "student.model", &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.text, "model.layers.1.mlp.gate_proj.weight"));
    assert_non_null(strstr(e.text, "not finite"));
    comm_barrier(&world);
    struct err none = {0};
    if (world.rank == 0)
        assert_done(file_remove_tree(directory, &none), &none);
}

static void finish(void **state)
{
    (void)state;
    comm_free(&self);
    gemm_stop();
}

static void begin(void **state)
{
    (void)state;
    struct err e = {0};
    assert_done(gemm_start(1, &e), &e);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begin),
        cmocka_unit_test(every_family),
        cmocka_unit_test(heads_that_do_not_divide),
        cmocka_unit_test(adapters),
        cmocka_unit_test(bf16_operands),
        cmocka_unit_test(forward_only),
        cmocka_unit_test(halves),
        cmocka_unit_test(bf16_gradients),
        cmocka_unit_test(too_many_shards),
        cmocka_unit_test(a_weight_that_is_no_number),
        cmocka_unit_test(finish),
    };
    return mpi_test_run(argc, argv, tests, sizeof tests / sizeof *tests);
}
