/* The table of keys, walked: what a row says must hold together, its default must read back as it is written, and
 * random jobs made from nothing but the table must parse, print and parse again to the same. */
#include "test.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "conf/field.h"
#include "spec.h"

static const char *const finetune = "mode: finetune\n"
                                    "student: {model: /s}\n"
                                    "data: {train: [{path: /t, format: text}]}\n"
                                    "train: {steps: 10}\n";

static bool is_number(const struct field *f)
{
    return f->type == &type_int || f->type == &type_int64 || f->type == &type_float || f->type == &type_pair ||
           f->type == &type_size;
}

static void rows_are_whole(void **state)
{
    (void)state;
    const struct field *f;
    int count = 0;
    for (; (f = field_at(count)); count++) {
        assert_non_null(f->key);
        assert_non_null(f->type);
        assert_non_null(f->fallback);
        assert_true(strlen(f->key) < NODE_KEY_LIMIT);
        if (!f->help || strlen(f->help) < 5 || f->help[strlen(f->help) - 1] == '.')
            fail_msg("%s: help is missing, or ends with a point", f->key);
        if (is_number(f) && !(f->min < f->max))
            fail_msg("%s: no range", f->key);
        if (f->type == &type_int && !(f->max <= 0x1p31 - 1))
            fail_msg("%s: its range is more than an int", f->key);
        bool chooses = f->type == &type_choice || f->type == &type_words || f->type == &type_files;
        if (chooses != (f->choices != NULL))
            fail_msg("%s: choices and type do not fit", f->key);
        if (f->modes == 0 || (f->required & ~f->modes))
            fail_msg("%s: needed where it is not read", f->key);
    }
    assert_true(count >= 60);
}

static void keys_are_in_their_section(void **state)
{
    (void)state;
    for (int s = 0; s < section_count; s++) {
        assert_true(*sections[s].help);
        for (int i = 0; i < sections[s].count; i++) {
            const char *key = sections[s].fields[i].key;
            if (*sections[s].name ? !key_is_below(key, sections[s].name) : strchr(key, '.') != NULL)
                fail_msg("%s is no key of section \"%s\"", key, sections[s].name);
        }
    }
}

static void keys_and_places_differ(void **state)
{
    (void)state;
    const struct field *a, *b;
    for (int i = 0; (a = field_at(i)); i++) {
        assert_ptr_equal(field_find(a->key), a);
        assert_false(field_is_group(a->key));
        assert_true(a->offset + a->type->size <= sizeof(struct job));
        for (int j = 0; j < i && (b = field_at(j)); j++) {
            assert_string_not_equal(a->key, b->key);
            if (a->offset < b->offset + b->type->size && b->offset < a->offset + a->type->size)
                fail_msg("%s and %s share memory", a->key, b->key);
        }
    }
}

static void choices_differ(void **state)
{
    (void)state;
    const struct field *f;
    for (int i = 0; (f = field_at(i)); i++)
        for (const struct choice *c = f->choices; c && c->name; c++)
            for (const struct choice *d = f->choices; d != c; d++) {
                assert_string_not_equal(c->name, d->name);
                assert_true(f->type == &type_words || c->value != d->value);
            }
}

/* A job that gives only what it must has every default, and prints it as the table writes it. */
static void defaults_hold(void **state)
{
    (void)state;
    static const char *const given[] = {"name",       "mode",        "output",      "student.model",
                                        "data.train", "train.steps", "distill.beta"};
    struct job *job = spec_parse(finetune, NULL);
    const struct field *f;
    for (int i = 0; (f = field_at(i)); i++) {
        bool differs = false;
        for (size_t k = 0; k < sizeof given / sizeof *given; k++)
            differs = differs || !strcmp(f->key, given[k]);
        if (!differs && !field_is_default(f, job))
            fail_msg("%s is not its default", f->key);
    }
    job_free(job);
}

/* The words of the reference, which breaks lines where it likes. */
static void one_space(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++)
        if (!strchr(" \n", *from) || (to > text && to[-1] != ' '))
            *to++ = *from == '\n' ? ' ' : *from;
    *to = 0;
}

static void reference_names_every_key(void **state)
{
    (void)state;
    struct strbuf out;
    struct err e = {0};
    strbuf_init(&out);
    assert_done(job_keys(NULL, &out, &e), &e);
    one_space(out.data);
    const char *at = out.data;
    const struct field *f;
    for (int i = 0; (f = field_at(i)); i++) {
        char *key = mem_printf(" %s ", f->key);
        char *fallback = mem_printf(f->required ? ", needed in " : ", default %s", f->fallback);
        const char *const wanted[] = {key, fallback, f->help}; /* in this order, after those of the key before it */
        for (size_t k = 0; k < sizeof wanted / sizeof *wanted && at; k++)
            at = strstr(at, wanted[k]);
        if (!at)
            fail_msg("the reference lacks %s, its default or its help", f->key);
        mem_free(fallback);
        mem_free(key);
    }
    assert_non_null(strstr(out.data, "f32 | bf16 | int8 (not built yet) | nf4 (not built yet), default bf16"));
    strbuf_release(&out);
}

static void reference_of_a_part(void **state)
{
    (void)state;
    struct strbuf out;
    struct err e = {0};
    strbuf_init(&out);
    assert_done(job_keys("train.schedule", &out, &e), &e);
    assert_non_null(strstr(out.data, "train.schedule.warmup_steps"));
    assert_null(strstr(out.data, "train.steps "));
    assert_null(strstr(out.data, "teacher"));
    assert_int_equal(job_keys("teachr", &out, &e), -1);
    assert_int_equal(e.code, ERR_USAGE);
    assert_string_equal(e.text, "keys: \"teachr\" is no section of a job; did you mean teacher?");
    strbuf_release(&out);
}

/* --- random jobs --- */

static void put_number(const struct field *f, struct rng *r, struct strbuf *out)
{
    double share = rng_uniform(r);
    /* numbers near both bounds and between, over all magnitudes */
    double value = share < 0.1                      ? f->min
                   : share < 0.2 && f->max < 0x1p53 ? f->max
                                                    : f->min + pow(f->max - f->min, share);
    value = value > f->max ? f->max : value;
    if (f->flags & FIELD_BELOW_MAX && value >= f->max)
        value = f->max / 3;
    if (f->type == &type_float || f->type == &type_pair)
        strbuf_printf(out, "%.17g", value);
    else
        strbuf_printf(out, "%.0f", value < 0x1p53 ? floor(value) : 0x1p53 + 1);
}

/* Text of any kind, as YAML escapes: letters, quotes, line breaks, what looks like a number, the far end of Unicode. */
static void put_text(struct rng *r, struct strbuf *out)
{
    static const char *const pieces[] = {"a",    "B",     "7",     " ",       ".",       "-",           "#",
                                         ": ",   "null",  "\\n",   "/",       "\\t",     "\\\"",        "{",
                                         "\\\\", "\\x85", "\\x01", "\\u2028", "\\uFEFF", "\\U0010FFFF", "\\u00e9"};
    strbuf_addc(out, '"');
    for (uint64_t n = 1 + rng_below(r, 6); n > 0; n--)
        strbuf_adds(out, pieces[rng_below(r, sizeof pieces / sizeof *pieces)]);
    strbuf_addc(out, '"');
}

static const char *any_choice(const struct field *f, struct rng *r)
{
    int count = 0;
    while (f->choices[count].name)
        count++;
    return f->choices[rng_below(r, (uint64_t)count)].name;
}

static void put_value(const struct field *f, struct rng *r, struct strbuf *out)
{
    if (f->none && rng_below(r, 4) == 0) {
        strbuf_adds(out, f->none);
    } else if (f->type == &type_pair) {
        strbuf_addc(out, '[');
        put_number(f, r, out);
        strbuf_adds(out, ", ");
        put_number(f, r, out);
        strbuf_addc(out, ']');
    } else if (is_number(f)) {
        put_number(f, r, out);
    } else if (f->type == &type_bool) {
        strbuf_adds(out, rng_below(r, 2) ? "true" : "false");
    } else if (f->type == &type_choice) {
        strbuf_adds(out, any_choice(f, r));
    } else if (f->type == &type_words) {
        strbuf_printf(out, "[%s]", any_choice(f, r));
    } else if (f->type == &type_part) {
        int n = 1 + (int)rng_below(r, 99);
        strbuf_printf(out, "%d/%d", 1 + (int)rng_below(r, (uint64_t)n), n);
    } else if (f->type == &type_files) {
        strbuf_adds(out, "[{path: ");
        put_text(r, out);
        strbuf_printf(out, ", format: %s}]", any_choice(f, r));
    } else {
        put_text(r, out);
    }
}

/* What the cross-checks want, or what is not free of other keys. */
static bool is_fixed(const struct field *f)
{
    static const char *const fixed[] = {"name",
                                        "data.sequence_length",
                                        "train.batch_tokens",
                                        "train.micro_batch_tokens",
                                        "labels.encoding.kind",
                                        "labels.encoding.values",
                                        "distill.beta",
                                        "ranks.teacher.replicas"};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (!strcmp(f->key, fixed[i]))
            return true;
    return f->kinds != 0 || f->required != 0;
}

/* Each key that is free is given or not, in the order of the table, after what every job needs. */
static struct job *random_job(struct rng *r)
{
    enum { MOST = 100 };
    static const char *const encodings[] = {"{kind: sampled, threshold: 0.07}", "{kind: random, draws: 3}",
                                            "{kind: top_k, k: 77, values: f32}", "{kind: hidden}"};
    char *set[MOST] = {mem_strdup("teacher.model=/t"), mem_strdup("distill.beta=1"), mem_strdup("labels.store=/l"),
                       mem_strdup("data.validation=[{path: /v, format: chat}]"),
                       mem_printf("labels.encoding=%s", encodings[rng_below(r, sizeof encodings / sizeof *encodings)])};
    int count = 5;
    const struct field *f;
    for (int i = 0; (f = field_at(i)); i++) {
        if (is_fixed(f) || rng_below(r, 2))
            continue;
        assert_in_range(count, 0, MOST - 1);
        struct strbuf value;
        strbuf_init(&value);
        put_value(f, r, &value);
        set[count++] = mem_printf("%s=%s", f->key, value.data);
        strbuf_release(&value);
    }
    struct job_override overrides[MOST];
    for (int i = 0; i < count; i++)
        overrides[i].text = set[i];
    struct err e = {0};
    struct job *job = NULL;
    if (job_parse(&job, finetune, strlen(finetune), "j.yaml", overrides, count, &e))
        fail_msg("%s", e.text);
    for (int i = 0; i < count; i++)
        mem_free(set[i]);
    return job;
}

static void random_jobs_come_back(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 5, 7);
    for (int i = 0; i < 150; i++) {
        struct job *job = random_job(&r);
        spec_round_trip(job);
        job_free(job);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_whole),         cmocka_unit_test(keys_are_in_their_section),
        cmocka_unit_test(keys_and_places_differ), cmocka_unit_test(choices_differ),
        cmocka_unit_test(defaults_hold),          cmocka_unit_test(reference_names_every_key),
        cmocka_unit_test(reference_of_a_part),    cmocka_unit_test(random_jobs_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
