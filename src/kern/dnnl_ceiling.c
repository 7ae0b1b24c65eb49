#include "kern/dnnl_ceiling.h"

#include <omp.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kern/dnnl_version.h"

enum { A, B, C, OPERANDS };
/* The bytes of operands: small ordinary numbers in f32 and in bf16. */
enum { FILL = 0x3C };

struct dnnl_trial {
    int threads;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    dnnl_memory_t operands[OPERANDS];
};

/* A weight may lie as the library likes; what is no weight (dy^T x) lies as the model has it. */
static dnnl_status_t describe_all(description d[OPERANDS], const struct dnnl_trial_shape *s)
{
    const bool weight = s->kind != GEMM_BACKWARD_WEIGHT;
    const dnnl_data_type_t type = s->dtype == DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
    const dnnl_dims_t size_a = {s->m, s->k}, size_b = {s->k, s->n}, size_c = {s->m, s->n};
    dnnl_status_t status = describe(&d[A], size_a, type, weight ? dnnl_ab : dnnl_ba);
    if (status == dnnl_success)
        status = describe(&d[B], size_b, type, weight ? dnnl_format_tag_any : dnnl_ab);
    return status == dnnl_success ? describe(&d[C], size_c, dnnl_f32, dnnl_ab) : status;
}

static dnnl_status_t make_operand(struct dnnl_trial *t, int i, description_view d)
{
    void *bytes;
    dnnl_status_t status = dnnl_memory_create(&t->operands[i], d, t->engine, DNNL_MEMORY_ALLOCATE);
    if (status == dnnl_success)
        status = dnnl_memory_get_data_handle(t->operands[i], &bytes);
    if (status == dnnl_success)
        memset(bytes, FILL, dnnl_memory_desc_get_size(d));
    return status;
}

static dnnl_status_t make_primitive(struct dnnl_trial *t, const description *d)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = describe_matmul(&pd, t->engine, &d[A], &d[B], &d[C], NULL);
    if (status != dnnl_success)
        return status;
    status = dnnl_primitive_create(&t->primitive, pd);
    if (status == dnnl_success)
        status = make_operand(t, A, VIEW(d[A]));
    if (status == dnnl_success)
        status = make_operand(t, B, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0));
    if (status == dnnl_success)
        status = make_operand(t, C, VIEW(d[C]));
    dnnl_primitive_desc_destroy(pd);
    return status;
}

static dnnl_status_t make(struct dnnl_trial *t, const struct dnnl_trial_shape *shape)
{
    description d[OPERANDS] = {0};
    dnnl_status_t status = dnnl_engine_create(&t->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&t->stream, t->engine, dnnl_stream_default_flags);
    if (status == dnnl_success)
        status = describe_all(d, shape);
    if (status == dnnl_success)
        status = make_primitive(t, d);
    for (int i = 0; i < OPERANDS; i++)
        description_free(d[i]);
    return status;
}

struct dnnl_trial *dnnl_trial_new(const struct dnnl_trial_shape *shape, int threads, struct err *e)
{
    struct dnnl_trial *t = mem_alloc(sizeof *t);
    t->threads = threads;
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    const dnnl_status_t status = make(t, shape);
    omp_set_num_threads(before);
    if (status == dnnl_success)
        return t;
    err_set(e, ERR_ENVIRONMENT, "oneDNN %d.%d cannot multiply %s matrices of %lld x %lld x %lld here (status %d)",
            DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, dtype_name(shape->dtype), (long long)shape->m, (long long)shape->n,
            (long long)shape->k, (int)status);
    dnnl_trial_free(t);
    return NULL;
}

void dnnl_trial_free(struct dnnl_trial *t)
{
    if (!t)
        return;
    for (int i = 0; i < OPERANDS; i++)
        dnnl_memory_destroy(t->operands[i]);
    dnnl_primitive_destroy(t->primitive);
    dnnl_stream_destroy(t->stream);
    dnnl_engine_destroy(t->engine);
    mem_free(t);
}

void dnnl_trial_run(struct dnnl_trial *t)
{
    const int before = omp_get_max_threads();
    omp_set_num_threads(t->threads);
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, t->operands[A]}, {DNNL_ARG_WEIGHTS, t->operands[B]}, {DNNL_ARG_DST, t->operands[C]}};
    const dnnl_status_t status = dnnl_primitive_execute(t->primitive, t->stream, OPERANDS, args);
    omp_set_num_threads(before);
    ASSERT(status == dnnl_success);
}
