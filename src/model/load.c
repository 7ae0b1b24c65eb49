#include "model/load.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "kern/op_linear.h"
#include "kern/quant.h"
#include "model/model.h"

/* One tensor on its way from a file into a shard. */
struct source {
    const struct model *m;
    const struct param *p;
    const struct tensor *t;
    int64_t cols;       /* of a row in the file */
    uint64_t row_bytes; /* of a row in the file */
    bool interleaved;   /* rows of a head stand as rotary pairs (GGUF, architecture llama) */
    float *row;         /* [cols]: one row in f32 */
};

/* Global row of our parameter -> row in the file. A head of D rows stands as [D/2, 2] in such a GGUF, as [2, D/2] here.
 */
static int64_t file_row(const struct source *s, int64_t row)
{
    if (!s->interleaved)
        return row;
    int64_t D = s->m->config.head_dim, half = D / 2;
    int64_t head = row / D, in_head = row % D;
    return head * D + in_head % half * 2 + in_head / half;
}

/* The local columns of a local row, in f32. */
static const float *read_row(const struct source *s, int64_t local_row)
{
    const struct param *p = s->p;
    const unsigned char *from = s->t->data + (uint64_t)file_row(s, p->rows.first + local_row) * s->row_bytes;
    if (dtype_block(s->t->dtype) > 1) {
        dequantize(s->row, from, s->t->dtype, s->cols); /* a cut may fall inside a block */
        return s->row + p->cols.first;
    }
    from += p->cols.first * dtype_block_bytes(s->t->dtype);
    dequantize(s->row, from, s->t->dtype, param_local_cols(p));
    return s->row;
}

static int check_finite(const struct source *s, const float *x, int64_t n, int64_t local_row, struct err *e)
{
    int64_t bad = vector_count_not_finite(x, n);
    if (!bad)
        return 0;
    return err_set(e, ERR_INPUT, "%s: tensor %s: row %lld holds %lld values that are not finite; the file is damaged",
                   model_files_of(s->m->files, s->t), s->t->name, (long long)(s->p->rows.first + local_row),
                   (long long)bad);
}

void param_store_row(const struct param *p, void *to, int64_t local_row, const float *x)
{
    int64_t n = param_local_cols(p);
    if (p->dtype == DTYPE_F32)
        memcpy((float *)to + local_row * n, x, (size_t)n * sizeof(float));
    else
        convert_f32_to_bf16((uint16_t *)to + local_row * n, x, n);
}

/* Rows that lie in the file as they are needed, whole and in the right type, are used in place. */
static bool can_borrow(const struct source *s)
{
    const struct param *p = s->p;
    return !p->trainable && !s->interleaved && s->t->dtype == p->dtype && param_local_cols(p) == s->cols &&
           (uintptr_t)s->t->data % sizeof(float) == 0;
}

/* Before (WILLNEED): the kernel reads the rows that this shard needs in large pieces, in order. Shards that cut columns
 * all need whole rows: the first one on a host brings them into the page cache for the others. After a copy (DONTNEED):
 * they leave this process, not the page cache. */
static void advise_rows(const struct source *s, int advice)
{
    const struct param *p = s->p;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t at = (uintptr_t)s->t->data + (uintptr_t)p->rows.first * s->row_bytes;
    uintptr_t begin = at / page * page;
    madvise((void *)begin, at - begin + (size_t)param_local_rows(p) * s->row_bytes, advice);
}

/* Frozen matrices of a model that computes in less than f32 are kept in bf16. */
static enum dtype dtype_of(const struct model *m, const struct param *p)
{
    bool matrix = p->row->cols != DIM_ONE;
    return matrix && !p->trainable && m->options.precision != PRECISION_F32 ? DTYPE_BF16 : DTYPE_F32;
}

/* Bytes of a weight that lies as the GEMM likes it; 0: it does not. */
static size_t packed_size(const struct model *m, const struct param *p)
{
    const bool multiplied = p->row->cols != DIM_ONE && (p != m->embed || p == m->head);
    if (!m->options.forward_only || !multiplied)
        return 0;
    return gemm_packed_size(m->options.precision, param_local_rows(p), param_local_cols(p));
}

/* Rows of an embedding are read one by one. */
static bool is_read_by_rows(const struct model *m, const struct param *p)
{
    return !packed_size(m, p) || p == m->embed;
}

void param_room_release(struct param_room *r)
{
    if (r->memory)
        mem_free_large(r->memory, r->size);
    *r = (struct param_room){0};
}

static void *room_of(struct param_room *r, size_t size)
{
    if (size > r->size) {
        param_room_release(r);
        r->memory = mem_try(size);
        r->size = r->memory ? size : 0;
    }
    return r->memory;
}

static int no_memory(const struct model *m, const struct param *p, struct err *e)
{
    return err_set(e, ERR_ENVIRONMENT, "%s: tensor %s: no memory for %lld elements", model_files_path(m->files),
                   p->name, (long long)param_elements(p));
}

void *param_memory(struct model *m, struct param *p, struct param_room *room, struct err *e)
{
    p->dtype = dtype_of(m, p);
    if (p->trainable)
        return (void *)p->data;
    const size_t elements = (size_t)param_elements(p), each = (size_t)dtype_block_bytes(p->dtype);
    void *to = is_read_by_rows(m, p) ? arena_try(&m->arena, elements, each) : room_of(room, elements * each);
    if (!to)
        no_memory(m, p, e);
    return to;
}

int param_keep(struct model *m, struct param *p, const void *rows, struct err *e)
{
    const size_t size = packed_size(m, p);
    p->data = rows;
    if (!size)
        return 0;
    void *packed = arena_try(&m->arena, size, 1);
    if (!packed)
        return no_memory(m, p, e);
    gemm_pack(m->options.precision, packed, param_matrix(p));
    p->packed = packed;
    if (!is_read_by_rows(m, p))
        p->data = NULL;
    return 0;
}

static int load_param(struct model *m, struct source *s, struct param *p, struct param_room *room, struct err *e)
{
    s->p = p;
    advise_rows(s, MADV_WILLNEED);
    p->dtype = dtype_of(m, p);
    const bool borrow = can_borrow(s);
    void *to = borrow ? NULL : param_memory(m, p, room, e);
    if (!borrow && !to)
        return -1;
    for (int64_t i = 0; i < param_local_rows(p); i++) {
        const float *x = read_row(s, i);
        if (check_finite(s, x, param_local_cols(p), i, e))
            return -1;
        if (!borrow)
            param_store_row(p, to, i, x);
    }
    if (param_keep(m, p, borrow ? s->t->data + (uint64_t)p->rows.first * s->row_bytes : to, e))
        return -1;
    if (!borrow || !p->data)
        advise_rows(s, MADV_DONTNEED);
    return 0;
}

/* The tensor's name in the file, where a pruned model's block may have another number. */
static const char *source_name(const struct model *m, const struct param *p, struct arena *names)
{
    const int *keep = m->options.keep;
    int layer = keep && p->layer >= 0 ? keep[p->layer] : p->layer;
    return arena_printf(names, model_files_is_gguf(m->files) ? p->row->gguf : p->row->hf, layer);
}

static int find_tensor(struct source *s, const struct param *p, struct arena *names, struct err *e)
{
    int64_t shape[2];
    int rank = param_file_shape(p, shape);
    bool gguf = model_files_is_gguf(s->m->files);
    const char *name = source_name(s->m, p, names);
    if (model_files_require(s->m->files, name, rank, shape, &s->t, e))
        return -1;
    s->cols = rank == 1 ? 1 : shape[1];
    s->interleaved = gguf && p->row->permuted && s->m->config.family->gguf_permuted;
    if (!dequantize_knows(s->t->dtype) || !dtype_bytes(s->t->dtype, s->cols, &s->row_bytes))
        return err_set(e, ERR_INPUT, "%s: tensor %s: type %s is not read as a weight",
                       model_files_of(s->m->files, s->t), name, dtype_name(s->t->dtype));
    return 0;
}

int model_load(struct model *m, struct err *e)
{
    struct arena names;
    arena_init(&names);
    int64_t widest =
        m->config.hidden_size > m->config.intermediate_size ? m->config.hidden_size : m->config.intermediate_size;
    int64_t q = (int64_t)m->config.heads * m->config.head_dim;
    struct source s = {.m = m, .row = mem_array((size_t)(q > widest ? q : widest), sizeof(float))};
    struct param_room room = {0};
    int rc = 0;
    for (int i = 0; i < m->param_count && !rc; i++) {
        struct param *p = &m->params[i];
        if (p->part != PART_BASE)
            continue;
        rc = find_tensor(&s, p, &names, e);
        if (!rc)
            rc = load_param(m, &s, p, &room, e);
    }
    param_room_release(&room);
    mem_free(s.row);
    arena_release(&names);
    return rc;
}
