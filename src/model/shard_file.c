#include "model/shard_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "kern/quant.h"
#include "par/agree.h"

struct shard_file {
    char *path, *temporary;
    int fd;
    struct safetensors_plan *plan;
    const struct comm *writers;
};

static int write_header(struct shard_file *f, const struct strbuf *header, struct err *e)
{
    f->fd = open(f->temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (f->fd < 0)
        return err_errno(e, "%s: cannot create", f->temporary);
    if (file_write_at(f->fd, f->path, header->data, header->size, 0, e))
        return -1;
    if (ftruncate(f->fd, (off_t)safetensors_plan_size(f->plan)))
        return err_errno(e, "%s: cannot be made %llu bytes long", f->path,
                         (unsigned long long)safetensors_plan_size(f->plan));
    return 0;
}

static void file_free(struct shard_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    mem_free(f->path);
    mem_free(f->temporary);
    mem_free(f);
}

int shard_file_create(struct shard_file **out, const char *path, struct safetensors_plan *plan,
                      const struct comm *writers, struct err *e)
{
    struct shard_file *f = mem_alloc(sizeof *f);
    *f = (struct shard_file){mem_strdup(path), mem_printf("%s.tmp", path), -1, plan, writers};
    struct strbuf header;
    strbuf_init(&header);
    safetensors_plan_finish(plan, &header);
    if (writers->rank == 0)
        write_header(f, &header, e);
    strbuf_release(&header);
    if (agree(writers, e))
        goto failed;
    if (writers->rank != 0) {
        f->fd = open(f->temporary, O_RDWR | O_CLOEXEC);
        if (f->fd < 0)
            err_errno(e, "%s: cannot open what the first writer created; is it on a file system that all ranks share?",
                      f->temporary);
    }
    if (agree(writers, e))
        goto failed;
    *out = f;
    return 0;
failed:
    file_free(f);
    return -1;
}

/* A run of elements of one row: local [first, end) of row `row`, at the same distance in the file. */
struct row_run {
    int64_t row, first, end; /* columns, local */
};

static struct row_run run_at(const struct param *p, int64_t first, int64_t end)
{
    int64_t cols = param_local_cols(p), row = first / cols;
    int64_t stop = (row + 1) * cols < end ? (row + 1) * cols : end;
    return (struct row_run){row, first - row * cols, stop - row * cols};
}

/* Elements from the tensor's beginning to a local element. */
static uint64_t global_element(const struct param *p, int64_t row, int64_t col)
{
    return (uint64_t)(p->rows.first + row) * (uint64_t)p->global_cols + (uint64_t)(p->cols.first + col);
}

/* One run of whole rows where no column is cut, else one row. */
static int64_t contiguous(const struct param *p, int64_t first, int64_t end)
{
    if (param_local_cols(p) == p->global_cols)
        return end - first;
    struct row_run r = run_at(p, first, end);
    return r.end - r.first;
}

enum { CHUNK = 1 << 16 };

static const void *converted(enum dtype dtype, uint16_t *buffer, const float *x, int64_t n)
{
    if (dtype == DTYPE_BF16)
        convert_f32_to_bf16(buffer, x, n);
    else if (dtype == DTYPE_F16)
        convert_f32_to_f16(buffer, x, n);
    else
        return x;
    return buffer;
}

static int write_run(struct shard_file *f, uint64_t offset, enum dtype dtype, const float *x, int64_t n, struct err *e)
{
    static _Thread_local uint16_t buffer[CHUNK];
    size_t size = (size_t)dtype_block_bytes(dtype);
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t m = n - i < CHUNK ? n - i : CHUNK;
        const void *bytes = converted(dtype, buffer, x + i, m);
        if (file_write_at(f->fd, f->path, bytes, (size_t)m * size, offset + (uint64_t)i * size, e))
            return -1;
    }
    return 0;
}

int shard_file_write(struct shard_file *f, int index, enum dtype dtype, const struct param *p, const float *values,
                     int64_t first, int64_t end, struct err *e)
{
    int64_t cols = param_local_cols(p), owned = p->owned_first * cols, begin = first;
    if (first < owned)
        first = owned;
    uint64_t tensor = safetensors_plan_offset(f->plan, index);
    while (first < end) {
        int64_t n = contiguous(p, first, end);
        uint64_t at = global_element(p, first / cols, first % cols) * (uint64_t)dtype_block_bytes(dtype);
        if (write_run(f, tensor + at, dtype, values + (first - begin), n, e))
            return -1;
        first += n;
    }
    return 0;
}

int shard_file_commit(struct shard_file *f, struct err *e)
{
    if (e->code == ERR_NONE && fsync(f->fd))
        err_errno(e, "%s: cannot sync", f->path);
    int rc = agree(f->writers, e);
    if (f->writers->rank == 0) {
        if (rc)
            unlink(f->temporary);
        else if (rename(f->temporary, f->path))
            err_errno(e, "%s: cannot rename to it", f->path);
    }
    if (!rc)
        rc = agree(f->writers, e);
    file_free(f);
    return rc;
}

int shard_read(const struct param *p, float *values, int64_t first, int64_t end, const struct tensor *t,
               const char *path, struct err *e)
{
    int64_t shape[2];
    int rank = param_file_shape(p, shape);
    if (t->rank != rank || t->shape[0] != shape[0] || (rank == 2 && t->shape[1] != shape[1]))
        return err_set(e, ERR_INPUT, "%s: tensor %s: shape does not fit this job's model, which has [%lld, %lld]", path,
                       t->name, (long long)p->global_rows, (long long)p->global_cols);
    if (t->dtype != DTYPE_F32 && t->dtype != DTYPE_BF16 && t->dtype != DTYPE_F16)
        return err_set(e, ERR_INPUT, "%s: tensor %s: type %s, expected F32, BF16 or F16", path, t->name,
                       dtype_name(t->dtype));
    int64_t cols = param_local_cols(p);
    for (int64_t n; first < end; first += n, values += n) {
        n = contiguous(p, first, end);
        uint64_t at = global_element(p, first / cols, first % cols) * (uint64_t)dtype_block_bytes(t->dtype);
        dequantize(values, t->data + at, t->dtype, n);
    }
    return 0;
}
