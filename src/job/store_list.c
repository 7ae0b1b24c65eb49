#include "job/store_list.h"

#include <string.h>

#include "fmt/json_fields.h"
#include "label/record.h"

static const char *const split_names[SPLIT_COUNT] = {"train", "validation"};

struct totals {
    int64_t labels;
    uint64_t bytes;
};

static int add_up(const struct store *s, struct totals *t, struct err *e)
{
    for (int64_t i = 0; i < store_count(s); i++) {
        const struct store_record r = store_at(s, i);
        struct record_info info;
        if (record_glance(r.bytes, r.size, &info, e)) {
            err_prefix(e, "%s", store_part(s, r.part).name);
            return -1;
        }
        t->labels += info.labels;
        t->bytes += r.size;
    }
    return 0;
}

static double per_label(const struct totals *t)
{
    return t->labels ? (double)t->bytes / (double)t->labels : 0;
}

/* --- JSON --- */

static void put_text(struct strbuf *out, const char *text)
{
    json_put_text(out, text, strlen(text));
}

static void put_splits(const struct store *s, struct strbuf *out)
{
    for (enum split k = 0; k < SPLIT_COUNT; k++) {
        const int64_t all = store_description(s)->sequences[k], there = store_count_of(s, k);
        strbuf_printf(out, "%s\"%s\": {\"sequences\": %lld, \"there\": %lld, \"missing\": %lld}", k ? ", " : "",
                      split_names[k], (long long)all, (long long)there, (long long)(all - there));
    }
}

static void put_part(const struct store_part *p, struct strbuf *out)
{
    strbuf_adds(out, "{\"name\": ");
    put_text(out, p->name);
    strbuf_adds(out, ", \"owner\": ");
    put_text(out, p->owner);
    strbuf_printf(out,
                  ", \"sealed\": %s, \"records\": %lld, \"bytes\": %llu, \"rest\": %llu, \"seconds_unchanged\": %.1f}",
                  p->sealed ? "true" : "false", (long long)p->records, (unsigned long long)p->bytes,
                  (unsigned long long)p->rest, p->seconds_unchanged);
}

static void put_json(const struct store *s, const char *path, const struct totals *t, struct strbuf *out)
{
    strbuf_adds(out, "{\"kind\": \"store\", \"path\": ");
    put_text(out, path);
    strbuf_adds(out, ", \"description\": ");
    store_print(store_description(s), out);
    strbuf_adds(out, ", \"splits\": {");
    put_splits(s, out);
    strbuf_printf(out,
                  "}, \"records\": %lld, \"labels\": %lld, \"bytes\": %llu, \"bytes_per_label\": %.3f, \"files\": [",
                  (long long)store_count(s), (long long)t->labels, (unsigned long long)t->bytes, per_label(t));
    for (int i = 0; i < store_parts(s); i++) {
        const struct store_part p = store_part(s, i);
        if (i)
            strbuf_adds(out, ", ");
        put_part(&p, out);
    }
    strbuf_adds(out, "]}\n");
}

/* --- lines --- */

static void say_encoding(const struct label_spec *l, struct strbuf *out)
{
    strbuf_printf(out, "%s labels, ", label_kind_name(l->kind));
    if (l->kind == LABEL_SAMPLED)
        strbuf_printf(out, "threshold %g", l->threshold);
    else if (l->kind == LABEL_TOP_K)
        strbuf_printf(out, "k %lld", (long long)l->k);
    else if (l->kind == LABEL_RANDOM)
        strbuf_printf(out, "%lld draws", (long long)l->draws);
    else
        strbuf_printf(out, "states of %lld", (long long)l->hidden);
    strbuf_printf(out, ", values %s", label_values_name(l->values));
    if (l->kind != LABEL_HIDDEN)
        strbuf_printf(out, ", at temperature %g, seed %llu", l->temperature, (unsigned long long)l->seed);
}

void store_list_description(const struct store_description *d, struct strbuf *out)
{
    strbuf_printf(out, "teacher %s (%016llx), ", *d->teacher_name ? d->teacher_name : "unknown",
                  (unsigned long long)d->teacher);
    if (d->adapter)
        strbuf_printf(out, "adapter %s (%016llx), ", d->adapter_name, (unsigned long long)d->adapter);
    strbuf_printf(out, "precision %s\n", d->precision);
    say_encoding(&d->label, out);
    strbuf_printf(out,
                  "\ncorpus %016llx, tokenizer %016llx: sequences of at most %d tokens\n"
                  "vocabulary %u, mask %016llx; made by retort %s\n",
                  (unsigned long long)d->corpus, (unsigned long long)d->tokenizer, d->sequence_length, d->vocabulary,
                  (unsigned long long)d->vocabulary_mask, d->version);
}

/* "12 s", "3 min", "5 h", "2 days": no more than one needs to tell a job at work from one that has ended. */
static void say_age(double seconds, struct strbuf *out)
{
    if (seconds < 120)
        strbuf_printf(out, "%.0f s", seconds);
    else if (seconds < 7200)
        strbuf_printf(out, "%.0f min", seconds / 60);
    else if (seconds < 48 * 3600)
        strbuf_printf(out, "%.0f h", seconds / 3600);
    else
        strbuf_printf(out, "%.0f days", seconds / 86400);
}

static void say_part(const struct store_part *p, struct strbuf *out)
{
    strbuf_printf(out, "  %-36s %8lld records %10.1f MB  %-6s  written ", p->name, (long long)p->records,
                  1e-6 * (double)p->bytes, p->sealed ? "sealed" : "open");
    say_age(p->seconds_unchanged, out);
    strbuf_printf(out, " ago by %s", *p->owner ? p->owner : "an unknown writer");
    if (p->rest)
        strbuf_printf(out, "; %llu bytes that are no whole record", (unsigned long long)p->rest);
    strbuf_addc(out, '\n');
}

static void say(const struct store *s, const char *path, const struct totals *t, struct strbuf *out)
{
    strbuf_printf(out, "label store: %s\n", path);
    store_list_description(store_description(s), out);
    for (enum split k = 0; k < SPLIT_COUNT; k++) {
        const int64_t all = store_description(s)->sequences[k], there = store_count_of(s, k);
        strbuf_printf(out, "%-10s %lld of %lld sequences, %lld missing\n", split_names[k], (long long)there,
                      (long long)all, (long long)(all - there));
    }
    strbuf_printf(out, "%lld records, %lld labels, %.1f MB, %.2f bytes a label\n", (long long)store_count(s),
                  (long long)t->labels, 1e-6 * (double)t->bytes, per_label(t));
    for (int i = 0; i < store_parts(s); i++) {
        const struct store_part p = store_part(s, i);
        say_part(&p, out);
    }
}

int store_list(const struct store *s, const char *path, bool json, struct strbuf *out, struct err *e)
{
    struct totals t = {0};
    if (add_up(s, &t, e))
        return -1;
    if (json)
        put_json(s, path, &t, out);
    else
        say(s, path, &t, out);
    return 0;
}
