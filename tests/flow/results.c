/* What runs leave behind, compared: metrics, files, weights. */
#include "flow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fmt/safetensors.h"

/* --- metrics --- */

static bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcmp(name + n - m, end);
}

static void remove_times(json_t *object)
{
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(object, next, name, value)
    {
        if (ends_in(name, "seconds") || ends_in(name, "per_second"))
            json_object_del(object, name);
        else if (json_is_object(value))
            remove_times(value);
    }
}

json_t *flow_metrics(const char *output)
{
    char *path = mem_printf("%s/metrics.jsonl", output), *text = flow_read(path, NULL), *rest = text;
    json_t *lines = json_array();
    for (char *line; (line = strsep(&rest, "\n")) && *line;) {
        json_error_t error;
        json_t *object = json_loads(line, 0, &error);
        if (!object)
            fail_msg("%s: %s: %s", path, error.text, line);
        remove_times(object);
        json_array_append_new(lines, object);
    }
    assert_true(json_array_size(lines) > 0);
    mem_free(text);
    mem_free(path);
    return lines;
}

/* A field of a line, by the path "validation.kl" or "kl". */
static json_t *field_of(json_t *line, const char *field)
{
    const char *dot = strchr(field, '.');
    return dot ? json_object_get(json_object_get(line, "validation"), dot + 1) : json_object_get(line, field);
}

double flow_value(const char *output, int step, const char *field)
{
    json_t *lines = flow_metrics(output), *value = NULL;
    for (size_t i = 0; i < json_array_size(lines) && !value; i++) {
        json_t *line = json_array_get(lines, i);
        if (json_integer_value(json_object_get(line, "step")) == step)
            value = field_of(line, field);
    }
    if (!json_is_number(value))
        fail_msg("%s/metrics.jsonl: step %d has no number %s", output, step, field);
    double x = json_number_value(value);
    json_decref(lines);
    return x;
}

static void print_line(const char *name, json_t *line)
{
    char *text = json_dumps(line, 0);
    print_message("%s: %s\n", name, text ? text : "no such line");
    free(text);
}

bool flow_same_metrics(const char *a, const char *b)
{
    json_t *of_a = flow_metrics(a), *of_b = flow_metrics(b);
    size_t i = 0, n = json_array_size(of_a), m = json_array_size(of_b);
    while (i < n && i < m && json_equal(json_array_get(of_a, i), json_array_get(of_b, i)))
        i++;
    bool same = i == n && i == m;
    if (!same) {
        print_line(a, json_array_get(of_a, i));
        print_line(b, json_array_get(of_b, i));
    }
    json_decref(of_a);
    json_decref(of_b);
    return same;
}

void expect_same_metrics(const char *a, const char *b)
{
    if (!flow_same_metrics(a, b))
        fail_msg("the metrics of %s and %s differ", a, b);
}

/* max |a - b| / max |b| over the lines that have the field. */
static double curve_difference(json_t *a, json_t *b, const char *field)
{
    double difference = 0, scale = 0;
    for (size_t i = 0; i < json_array_size(b); i++) {
        json_t *x = field_of(json_array_get(a, i), field), *y = field_of(json_array_get(b, i), field);
        if (!y)
            continue;
        if (!json_is_number(x) || !json_is_number(y))
            fail_msg("line %zu: %s is not a number in both", i + 1, field);
        difference = fmax(difference, fabs(json_number_value(x) - json_number_value(y)));
        scale = fmax(scale, fabs(json_number_value(y)));
    }
    return scale > 0 ? difference / scale : difference;
}

void expect_close_metrics(const char *a, const char *b, double tolerance)
{
    static const char *const fields[] = {"loss", "kl", "ce", "validation.loss", "validation.kl", "validation.ce"};
    json_t *of_a = flow_metrics(a), *of_b = flow_metrics(b);
    assert_int_equal(json_array_size(of_a), json_array_size(of_b));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        double d = curve_difference(of_a, of_b, fields[i]);
        print_message("%s and %s, %s: %.2g\n", a, b, fields[i], d);
        if (!(d <= tolerance))
            fail_msg("%s and %s: curves of %s differ by %.3g, more than %.3g", a, b, fields[i], d, tolerance);
    }
    json_decref(of_a);
    json_decref(of_b);
}

/* --- files --- */

void expect_same_file(const char *a, const char *b)
{
    size_t of_a, of_b;
    char *x = flow_read(a, &of_a), *y = flow_read(b, &of_b);
    if (of_a != of_b || memcmp(x, y, of_a))
        fail_msg("%s and %s differ", a, b);
    mem_free(x);
    mem_free(y);
}

/* Adds |da - db|^2 and |db|^2 of one tensor. */
static void add_moves(const struct tensor *a, const struct tensor *b, const struct tensor *start, double sums[2])
{
    if (!a || !b)
        fail_msg("a trained model lacks %s", start->name);
    assert_int_equal(a->elements, start->elements);
    assert_int_equal(b->elements, start->elements);
    for (int64_t i = 0; i < start->elements; i++) {
        float x, y, s;
        memcpy(&x, a->data + 4 * i, 4);
        memcpy(&y, b->data + 4 * i, 4);
        memcpy(&s, start->data + 4 * i, 4);
        sums[0] += ((double)x - y) * ((double)x - y);
        sums[1] += ((double)y - s) * ((double)y - s);
    }
}

double flow_move_difference(const char *a, const char *b, const char *start)
{
    struct err e = {0};
    struct safetensors *x, *y, *s;
    double sums[2] = {0, 0};
    assert_done(safetensors_open(&x, a, &e), &e);
    assert_done(safetensors_open(&y, b, &e), &e);
    assert_done(safetensors_open(&s, start, &e), &e);
    for (int i = 0; i < safetensors_count(s); i++) {
        const struct tensor *t = safetensors_at(s, i);
        add_moves(safetensors_find(x, t->name), safetensors_find(y, t->name), t, sums);
    }
    assert_true(sums[1] > 0);
    safetensors_close(x);
    safetensors_close(y);
    safetensors_close(s);
    return sqrt(sums[0] / sums[1]);
}
