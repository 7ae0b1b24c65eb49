/* The differences between oneDNN 2 and 3: memory descriptors became handles, and other functions make them. Private to
 * the two files of kern that call oneDNN. */
#ifndef RETORT_KERN_DNNL_VERSION_H
#define RETORT_KERN_DNNL_VERSION_H

#include <dnnl.h>

#if DNNL_VERSION_MAJOR < 3
typedef dnnl_memory_desc_t description;
typedef const dnnl_memory_desc_t *description_view;
#define VIEW(d) (&(d))

static inline dnnl_status_t describe(description *d, const dnnl_dims_t size, dnnl_data_type_t type,
                                     dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_init_by_tag(d, 2, size, type, tag);
}

static inline void description_free(description d)
{
    (void)d;
}

static inline dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1);
}

static inline dnnl_status_t describe_matmul(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const description *a,
                                            const description *b, const description *c,
                                            const_dnnl_primitive_attr_t attributes)
{
    dnnl_matmul_desc_t d;
    dnnl_status_t status = dnnl_matmul_desc_init(&d, a, b, NULL, c);
    return status == dnnl_success ? dnnl_primitive_desc_create(pd, &d, attributes, engine, NULL) : status;
}
#else
typedef dnnl_memory_desc_t description;
typedef const_dnnl_memory_desc_t description_view;
#define VIEW(d) (d)

static inline dnnl_status_t describe(description *d, const dnnl_dims_t size, dnnl_data_type_t type,
                                     dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_create_with_tag(d, 2, size, type, tag);
}

static inline void description_free(description d)
{
    dnnl_memory_desc_destroy(d);
}

static inline dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef);
}

static inline dnnl_status_t describe_matmul(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const description *a,
                                            const description *b, const description *c,
                                            const_dnnl_primitive_attr_t attributes)
{
    return dnnl_matmul_primitive_desc_create(pd, engine, *a, *b, NULL, *c, attributes);
}
#endif

#endif
