#include "kern/dnnl_shim.h"

#include <omp.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kern/dnnl_version.h"

/* --- a multiplication --- */

/* The handles that a run points at its operands: one set a thread, so that runs do not meet. */
struct worker {
    dnnl_stream_t stream;
    dnnl_memory_t a, b, c, scratch;
};

struct dnnl_multiply {
    dnnl_engine_t engine;
    dnnl_primitive_t primitive;
    size_t scratch_size;
    int threads;
    struct worker *workers;
};

static dnnl_status_t describe_operands(description *a, description *b, description *c, const struct dnnl_shape *s)
{
    const bool bf16 = s->dtype == DTYPE_BF16;
    const dnnl_data_type_t type = bf16 ? dnnl_bf16 : dnnl_f32;
    const dnnl_dims_t size_a = {s->m, s->k}, size_b = {s->k, s->n}, size_c = {s->m, s->n};
    const dnnl_format_tag_t pairs = s->n % 64 == 0 ? dnnl_BA16a64b2a : dnnl_BA16a16b2a;
    dnnl_status_t status = describe(a, size_a, type, dnnl_ab);
    status = status == dnnl_success ? describe(b, size_b, type, bf16 ? pairs : dnnl_ab) : status;
    return status == dnnl_success ? describe(c, size_c, dnnl_f32, dnnl_ab) : status;
}

/* scratch is the caller's: what the library would keep for itself is not safe to share. */
static dnnl_status_t make_attributes(dnnl_primitive_attr_t *attributes, bool accumulate)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attributes);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
    if (status != dnnl_success || !accumulate)
        return status;
    status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success)
        status = append_sum(ops);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*attributes, ops);
    dnnl_post_ops_destroy(ops);
    return status;
}

static dnnl_status_t make_worker(struct worker *w, dnnl_engine_t engine, const description *operands,
                                 description_view scratch)
{
    dnnl_memory_t *const memories[] = {&w->a, &w->b, &w->c};
    dnnl_status_t status = dnnl_stream_create(&w->stream, engine, dnnl_stream_default_flags);
    for (int i = 0; i < 3 && status == dnnl_success; i++)
        status = dnnl_memory_create(memories[i], VIEW(operands[i]), engine, DNNL_MEMORY_NONE);
    return status == dnnl_success ? dnnl_memory_create(&w->scratch, scratch, engine, DNNL_MEMORY_NONE) : status;
}

static dnnl_status_t make_all(struct dnnl_multiply *x, const description *operands,
                              const_dnnl_primitive_attr_t attributes)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = describe_matmul(&pd, x->engine, &operands[0], &operands[1], &operands[2], attributes);
    if (status != dnnl_success)
        return status;
    description_view scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    x->scratch_size = dnnl_memory_desc_get_size(scratch);
    status = dnnl_primitive_create(&x->primitive, pd);
    for (int i = 0; i < x->threads && status == dnnl_success; i++)
        status = make_worker(&x->workers[i], x->engine, operands, scratch);
    dnnl_primitive_desc_destroy(pd);
    return status;
}

static dnnl_status_t make(struct dnnl_multiply *x, const struct dnnl_shape *shape)
{
    description operands[3] = {0};
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t status = dnnl_engine_create(&x->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = describe_operands(&operands[0], &operands[1], &operands[2], shape);
    if (status == dnnl_success)
        status = make_attributes(&attributes, shape->accumulate);
    if (status == dnnl_success)
        status = make_all(x, operands, attributes);
    dnnl_primitive_attr_destroy(attributes);
    for (int i = 0; i < 3; i++)
        description_free(operands[i]);
    return status;
}

struct dnnl_multiply *dnnl_multiply_new(const struct dnnl_shape *shape, int threads, struct err *e)
{
    struct dnnl_multiply *x = mem_alloc(sizeof *x);
    x->threads = threads;
    x->workers = mem_array((size_t)threads, sizeof *x->workers);
    /* a primitive is built for the number of threads that OpenMP offers at this moment */
    const int before = omp_get_max_threads();
    omp_set_num_threads(1);
    const dnnl_status_t status = make(x, shape);
    omp_set_num_threads(before);
    if (status == dnnl_success)
        return x;
    err_set(e, ERR_ENVIRONMENT, "oneDNN %d.%d cannot multiply %s matrices of %d x %d x %d here (status %d)",
            DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, dtype_name(shape->dtype), shape->m, shape->n, shape->k,
            (int)status);
    dnnl_multiply_free(x);
    return NULL;
}

void dnnl_multiply_free(struct dnnl_multiply *x)
{
    if (!x)
        return;
    for (int i = 0; i < x->threads; i++) {
        struct worker *w = &x->workers[i];
        dnnl_memory_destroy(w->a);
        dnnl_memory_destroy(w->b);
        dnnl_memory_destroy(w->c);
        dnnl_memory_destroy(w->scratch);
        dnnl_stream_destroy(w->stream);
    }
    dnnl_primitive_destroy(x->primitive);
    dnnl_engine_destroy(x->engine);
    mem_free(x->workers);
    mem_free(x);
}

size_t dnnl_multiply_scratch(const struct dnnl_multiply *x)
{
    return x->scratch_size;
}

static void *writable(const void *p)
{
    return (void *)(uintptr_t)p; /* a memory object has one handle for operands and results */
}

void dnnl_multiply_run(struct dnnl_multiply *x, int thread, float *c, const void *a, const void *b, void *scratch)
{
    const struct worker *w = &x->workers[thread];
    dnnl_memory_set_data_handle(w->a, writable(a));
    dnnl_memory_set_data_handle(w->b, writable(b));
    dnnl_memory_set_data_handle(w->c, c);
    dnnl_memory_set_data_handle(w->scratch, scratch);
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, w->a}, {DNNL_ARG_WEIGHTS, w->b}, {DNNL_ARG_DST, w->c}, {DNNL_ARG_SCRATCHPAD, w->scratch}};
    dnnl_status_t status = dnnl_primitive_execute(x->primitive, w->stream, 4, args);
    ASSERT(status == dnnl_success);
}
