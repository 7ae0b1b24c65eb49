#include "learn/optimizer.h"

#include "base/integer.h"
#include "base/mem.h"

static void add_run(struct optimizer *o, const struct param *p, int64_t first, int64_t end)
{
    if (first >= end)
        return;
    o->runs = mem_resize(o->runs, (size_t)o->count + 1, sizeof *o->runs);
    o->runs[o->count++] = (struct owned_run){p, first, end, o->elements};
    o->elements += end - first;
}

int optimizer_init(struct optimizer *o, const struct model *m, const struct buckets *k, int buckets, int rank,
                   struct err *e)
{
    *o = (struct optimizer){.model = m};
    for (int b = 0; b < buckets; b++) {
        int64_t first, end;
        buckets_slice(k, b, rank, &first, &end);
        for (int i = 0; i < m->param_count; i++) {
            const struct param *p = &m->params[i];
            if (p->trainable)
                add_run(o, p, max_i64(first, p->offset), min_i64(end, p->offset + param_elements(p)));
        }
    }
    o->m = mem_try((size_t)o->elements * sizeof *o->m);
    o->v = mem_try((size_t)o->elements * sizeof *o->v);
    if (!o->m || !o->v)
        return err_set(e, ERR_ENVIRONMENT, "no memory for the optimizer's moments of %lld parameters",
                       (long long)o->elements);
    return 0;
}

void optimizer_release(struct optimizer *o)
{
    mem_free_large(o->m, (size_t)o->elements * sizeof *o->m);
    mem_free_large(o->v, (size_t)o->elements * sizeof *o->v);
    mem_free(o->runs);
    *o = (struct optimizer){0};
}

double optimizer_sum_squares(const struct optimizer *o)
{
    double sum = 0;
    for (int i = 0; i < o->count; i++) {
        const struct owned_run *r = &o->runs[i];
        int64_t counted = r->p->offset + r->p->owned_first * param_local_cols(r->p);
        int64_t first = max_i64(r->first, counted);
        if (first < r->end)
            sum += vector_sum_squares(o->model->gradient + first, r->end - first);
    }
    return sum;
}

void optimizer_step(struct optimizer *o, const struct adamw *a)
{
    for (int i = 0; i < o->count; i++) {
        const struct owned_run *r = &o->runs[i];
        struct adamw one = *a;
        if (!r->p->row->decay)
            one.weight_decay = 0;
        adamw_update(o->model->trainable + r->first, o->m + r->state, o->v + r->state, o->model->gradient + r->first,
                     r->end - r->first, &one);
    }
}
