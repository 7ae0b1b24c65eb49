#include "job/bench_shapes.h"

#include <math.h>

#include "base/mem.h"
#include "kern/ceiling.h"

static bool same(const struct gemm_call *a, const struct gemm_call *b)
{
    return a->kind == b->kind && a->precision == b->precision && a->M == b->M && a->N == b->N && a->K == b->K;
}

static void add(void *context, const struct gemm_call *call)
{
    struct shapes *s = context;
    int i = 0;
    while (i < s->count && !same(&s->items[i].call, call))
        i++;
    if (i == s->count) {
        s->items = mem_resize(s->items, (size_t)++s->count, sizeof *s->items);
        s->items[i] = (struct shape_count){.call = *call, .calls = 1, .best = call->seconds};
        return;
    }
    s->items[i].call.seconds += call->seconds;
    s->items[i].calls++;
    s->items[i].best = fmin(s->items[i].best, call->seconds);
}

void shapes_watch(struct shapes *s)
{
    gemm_watch(add, s);
}

void shapes_stop(void)
{
    gemm_watch(NULL, NULL);
}

void shapes_release(struct shapes *s)
{
    mem_free(s->items);
    *s = (struct shapes){0};
}

int shapes_measure(struct shapes *s, struct err *e)
{
    for (int i = 0; i < s->count; i++) {
        const struct gemm_call *c = &s->items[i].call;
        if (c->M && ceiling_measure(c->kind, c->precision, c->M, c->N, c->K, &s->items[i].ceiling, e))
            return -1;
    }
    return 0;
}

static double flops(const struct shape_count *x)
{
    return 2.0 * (double)x->call.M * (double)x->call.N * (double)x->call.K * (double)x->calls;
}

double shapes_flops(const struct shapes *s)
{
    double sum = 0;
    for (int i = 0; i < s->count; i++)
        sum += flops(&s->items[i]);
    return sum;
}

double shapes_seconds(const struct shapes *s)
{
    double sum = 0;
    for (int i = 0; i < s->count; i++)
        sum += s->items[i].call.seconds;
    return sum;
}

double shapes_ceiling_seconds(const struct shapes *s)
{
    double sum = 0;
    for (int i = 0; i < s->count; i++)
        sum += s->items[i].ceiling * (double)s->items[i].calls;
    return sum;
}

void shapes_print(const struct shapes *s, int passes, struct strbuf *out)
{
    static const char *const names[] = {
        [GEMM_FORWARD] = "forward", [GEMM_BACKWARD_INPUT] = "input", [GEMM_BACKWARD_WEIGHT] = "weight"};
    strbuf_printf(out, "\n%-9s %8s %8s %8s %7s %9s %9s %9s %9s %6s\n", "product", "M", "N", "K", "calls", "seconds",
                  "GFLOP/s", "best", "ceiling", "share");
    for (int i = 0; i < s->count; i++) {
        const struct shape_count *x = &s->items[i];
        const double all = flops(x), one = all / (double)x->calls;
        strbuf_printf(out, "%-9s %8lld %8lld %8lld %7lld %9.4f %9.1f %9.1f %9.1f %6.3f\n", names[x->call.kind],
                      (long long)x->call.M, (long long)x->call.N, (long long)x->call.K, (long long)(x->calls / passes),
                      x->call.seconds / passes, 1e-9 * all / x->call.seconds, 1e-9 * one / x->best,
                      1e-9 * one / x->ceiling, x->ceiling * (double)x->calls / x->call.seconds);
    }
}
