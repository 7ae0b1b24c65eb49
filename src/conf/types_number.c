/* Numbers: int, int64, float, a pair of floats, a size in bytes, a part k/n; and bool. Reading is strict: an integer
 * has digits alone, a boolean is true or false, nothing is converted. */
#include "conf/types.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conf/text.h"

/* " from 1 to 64 tokens", " of at least 0 and below 1" */
static void expect_range(const struct field *f, struct strbuf *out)
{
    strbuf_adds(out, f->flags & FIELD_BELOW_MAX ? " of at least " : " from ");
    yaml_put_number(out, f->min);
    strbuf_adds(out, f->flags & FIELD_BELOW_MAX ? " and below " : " to ");
    if (f->max >= 0x1p62)
        strbuf_adds(out, "2^63 - 1");
    else if (f->type != &type_float && f->type != &type_pair)
        strbuf_printf(out, "%.0f", f->max);
    else
        yaml_put_number(out, f->max);
    if (f->unit)
        strbuf_printf(out, " %s", f->unit);
}

static bool in_range(const struct field *f, double value)
{
    return value >= f->min && (f->flags & FIELD_BELOW_MAX ? value < f->max : value <= f->max);
}

/* Digits with a sign; no leading zero, which YAML 1.1 reads as octal. */
static bool parse_integer(const char *text, int64_t *value)
{
    const char *digits = text + (*text == '-' || *text == '+');
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || digits[n] || (digits[0] == '0' && n > 1))
        return false;
    errno = 0;
    *value = strtoll(text, NULL, 10);
    return errno == 0;
}

/* Decimal, with point and exponent or without; never hexadecimal, infinite or not a number. */
static bool parse_number(const char *text, double *value)
{
    const char *at = text + (*text == '-' || *text == '+');
    size_t before = strspn(at, "0123456789");
    at += before;
    size_t after = *at == '.' ? strspn(at + 1, "0123456789") : 0;
    at += *at == '.' ? 1 + after : 0;
    if (before + after == 0)
        return false;
    if (*at == 'e' || *at == 'E') {
        at += 1 + (at[1] == '-' || at[1] == '+');
        size_t exponent = strspn(at, "0123456789");
        if (exponent == 0)
            return false;
        at += exponent;
    }
    *value = strtod(text, NULL);
    return !*at && isfinite(*value);
}

static bool node_integer(const struct node *n, int64_t *value)
{
    return n->kind == NODE_SCALAR && n->plain && parse_integer(n->text, value);
}

static bool node_number(const struct node *n, double *value)
{
    return n->kind == NODE_SCALAR && n->plain && parse_number(n->text, value);
}

static int read_int64(const struct field *f, const struct node *n, const struct reading *r, void *at)
{
    int64_t value = 0;
    if (!type_is_none(f, n) && (!node_integer(n, &value) || !in_range(f, (double)value)))
        return type_refuse(f, n, r);
    *(int64_t *)at = value;
    return 0;
}

static void print_int64(const struct field *f, const void *at, struct strbuf *out)
{
    int64_t value = *(const int64_t *)at;
    if (value == 0 && f->none)
        strbuf_adds(out, f->none);
    else
        strbuf_printf(out, "%lld", (long long)value);
}

static void expect_integer(const struct field *f, struct strbuf *out)
{
    strbuf_adds(out, "an integer");
    expect_range(f, out);
    type_expect_none(f, out);
}

/* The bounds of a field of type int lie within int. */
static int read_int(const struct field *f, const struct node *n, const struct reading *r, void *at)
{
    int64_t value;
    if (read_int64(f, n, r, &value))
        return -1;
    *(int *)at = (int)value;
    return 0;
}

static void print_int(const struct field *f, const void *at, struct strbuf *out)
{
    int64_t value = *(const int *)at;
    print_int64(f, &value, out);
}

const struct field_type type_int = {sizeof(int), read_int, print_int, expect_integer};
const struct field_type type_int64 = {sizeof(int64_t), read_int64, print_int64, expect_integer};

/* none is NaN, which no number of a job can be. */
static int read_float(const struct field *f, const struct node *n, const struct reading *r, void *at)
{
    double value = NAN;
    if (!type_is_none(f, n) && (!node_number(n, &value) || !in_range(f, value)))
        return type_refuse(f, n, r);
    *(double *)at = value;
    return 0;
}

static void print_float(const struct field *f, const void *at, struct strbuf *out)
{
    double value = *(const double *)at;
    if (isnan(value))
        strbuf_adds(out, f->none);
    else
        yaml_put_number(out, value);
}

static void expect_float(const struct field *f, struct strbuf *out)
{
    strbuf_adds(out, "a number");
    expect_range(f, out);
    type_expect_none(f, out);
}

const struct field_type type_float = {sizeof(double), read_float, print_float, expect_float};

static int read_pair(const struct field *f, const struct node *n, const struct reading *r, void *at)
{
    double values[2];
    if (n->kind != NODE_LIST || n->count != 2)
        return type_refuse(f, n, r);
    const struct node *item = n->children;
    for (int i = 0; i < 2; i++, item = item->next)
        if (!node_number(item, &values[i]) || !in_range(f, values[i]))
            return type_refuse(f, item, r);
    memcpy(at, values, sizeof values);
    return 0;
}

static void print_pair(const struct field *f, const void *at, struct strbuf *out)
{
    (void)f;
    const double *values = at;
    strbuf_addc(out, '[');
    yaml_put_number(out, values[0]);
    strbuf_adds(out, ", ");
    yaml_put_number(out, values[1]);
    strbuf_addc(out, ']');
}

static void expect_pair(const struct field *f, struct strbuf *out)
{
    strbuf_adds(out, "a list of two numbers");
    expect_range(f, out);
}

const struct field_type type_pair = {2 * sizeof(double), read_pair, print_pair, expect_pair};

static int read_bool(const struct field *f, const struct node *n, const struct reading *r, void *at)
{
    bool value = node_is(n, "true");
    if (!value && !node_is(n, "false"))
        return type_refuse(f, n, r);
    *(bool *)at = value;
    return 0;
}

static void print_bool(const struct field *f, const void *at, struct strbuf *out)
{
    (void)f;
    strbuf_adds(out, *(const bool *)at ? "true" : "false");
}

static void expect_bool(const struct field *f, struct strbuf *out)
{
    (void)f;
    strbuf_adds(out, "true or false");
}

const struct field_type type_bool = {sizeof(bool), read_bool, print_bool, expect_bool};

static const struct {
    const char *name;
    int64_t bytes;
} size_units[] = {{"TiB", 1LL << 40}, {"GiB", 1LL << 30}, {"MiB", 1LL << 20}, {"KiB", 1LL << 10}, {"", 1}};
enum { SIZE_UNITS = sizeof size_units / sizeof *size_units };

/* "16GiB", "1048576" */
static bool parse_size(const char *text, int64_t *bytes)
{
    char digits[24];
    size_t n = strspn(text, "0123456789");
    if (n >= sizeof digits)
        return false;
    memcpy(digits, text, n);
    digits[n] = 0;
    for (int i = 0; i < SIZE_UNITS; i++)
        if (!strcmp(text + n, size_units[i].name))
            return parse_integer(digits, bytes) && !__builtin_mul_overflow(*bytes, size_units[i].bytes, bytes);
    return false;
}

static int read_size(const struct field *f, const struct node *n, const struct reading *r, void *at)
{
    int64_t bytes = 0;
    bool plain = n->kind == NODE_SCALAR && n->plain;
    if (!type_is_none(f, n) && !(plain && parse_size(n->text, &bytes) && in_range(f, (double)bytes)))
        return type_refuse(f, n, r);
    *(int64_t *)at = bytes;
    return 0;
}

static void print_size(const struct field *f, const void *at, struct strbuf *out)
{
    int64_t bytes = *(const int64_t *)at;
    if (bytes == 0) {
        strbuf_adds(out, f->none);
        return;
    }
    int i = 0;
    while (bytes % size_units[i].bytes)
        i++;
    strbuf_printf(out, "%lld%s", (long long)(bytes / size_units[i].bytes), size_units[i].name);
}

static void expect_size(const struct field *f, struct strbuf *out)
{
    strbuf_adds(out, "a number of bytes like 16GiB (KiB, MiB, GiB, TiB)");
    type_expect_none(f, out);
}

const struct field_type type_size = {sizeof(int64_t), read_size, print_size, expect_size};

/* "2/8" into two ints that stand one after the other: labels.part, labels.parts. */
static bool parse_part(const char *text, int part[2])
{
    char first[12];
    size_t n = strspn(text, "0123456789");
    if (n >= sizeof first || text[n] != '/' || text[n + 1] == '+')
        return false;
    memcpy(first, text, n);
    first[n] = 0;
    int64_t k, of;
    if (!parse_integer(first, &k) || !parse_integer(text + n + 1, &of) || k < 1 || k > of || of > INT_MAX)
        return false;
    part[0] = (int)k;
    part[1] = (int)of;
    return true;
}

static int read_part(const struct field *f, const struct node *n, const struct reading *r, void *at)
{
    int part[2] = {0, 0};
    if (!type_is_none(f, n) && !(n->kind == NODE_SCALAR && parse_part(n->text, part)))
        return type_refuse(f, n, r);
    memcpy(at, part, sizeof part);
    return 0;
}

static void print_part(const struct field *f, const void *at, struct strbuf *out)
{
    const int *part = at;
    if (part[1])
        strbuf_printf(out, "%d/%d", part[0], part[1]);
    else
        strbuf_adds(out, f->none);
}

static void expect_part(const struct field *f, struct strbuf *out)
{
    strbuf_adds(out, "k/n with 1 <= k <= n");
    type_expect_none(f, out);
}

const struct field_type type_part = {2 * sizeof(int), read_part, print_part, expect_part};
