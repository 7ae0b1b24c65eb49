#include "kern/block_bf16.h"

#include "base/assert.h"
#include "base/mem.h"
#include "kern/convert_inline.h"
#include "kern/dnnl_shim.h"

/* Which of the three lengths of a product is n blocks. */
enum direction { WIDE, TALL, DEEP, DIRECTIONS };

struct engine {
    struct block_bf16 products;
    struct dnnl_multiply *multiply[DIRECTIONS][BLOCKS_IN_ROW][2]; /* blocks - 1, whether it accumulates */
    char *scratch;                                                /* [threads][scratch_each] */
    size_t scratch_each, scratch_size;
};

static void run(const struct block_bf16 *x, enum direction direction, int thread, float *c, const uint16_t *a,
                const uint16_t *b, int64_t n, bool accumulate)
{
    const struct engine *engine = (const struct engine *)(const void *)x;
    ASSERT(n >= 1 && n <= BLOCKS_IN_ROW);
    dnnl_multiply_run(engine->multiply[direction][n - 1][accumulate], thread, c, a, b,
                      engine->scratch + (size_t)thread * engine->scratch_each);
}

static void wide(const struct block_bf16 *x, int thread, float *c, const uint16_t *a, const uint16_t *b, int64_t n,
                 bool accumulate)
{
    run(x, WIDE, thread, c, a, b, n, accumulate);
}

static void tall(const struct block_bf16 *x, int thread, float *c, const uint16_t *a, const uint16_t *b, int64_t n,
                 bool accumulate)
{
    run(x, TALL, thread, c, a, b, n, accumulate);
}

static void deep(const struct block_bf16 *x, int thread, float *c, const uint16_t *a, const uint16_t *b, int64_t n,
                 bool accumulate)
{
    run(x, DEEP, thread, c, a, b, n, accumulate);
}

static int make(struct engine *x, enum direction direction, int n, bool accumulate, int threads, struct err *e)
{
    const int blocks[DIRECTIONS] = {
        [WIDE] = direction == WIDE ? n : 1, [TALL] = direction == TALL ? n : 1, [DEEP] = direction == DEEP ? n : 1};
    const struct dnnl_shape shape = {blocks[TALL] * BLOCK_EDGE, blocks[WIDE] * BLOCK_EDGE, blocks[DEEP] * BLOCK_EDGE,
                                     DTYPE_BF16, accumulate};
    struct dnnl_multiply *m = dnnl_multiply_new(&shape, threads, e);
    x->multiply[direction][n - 1][accumulate] = m;
    if (m && dnnl_multiply_scratch(m) > x->scratch_each)
        x->scratch_each = dnnl_multiply_scratch(m);
    return m ? 0 : -1;
}

static int make_all(struct engine *x, int threads, struct err *e)
{
    for (enum direction direction = 0; direction < DIRECTIONS; direction++)
        for (int n = 1; n <= BLOCKS_IN_ROW; n++)
            if (make(x, direction, n, false, threads, e) || make(x, direction, n, true, threads, e))
                return -1;
    x->scratch_each = (x->scratch_each + 63) / 64 * 64;
    x->scratch_size = (size_t)threads * x->scratch_each;
    x->scratch = x->scratch_size ? mem_try(x->scratch_size) : NULL;
    if (x->scratch_size && !x->scratch)
        return err_set(e, ERR_ENVIRONMENT,
                       "no memory for attention's products on %d threads (%zu bytes): lower ranks.threads", threads,
                       x->scratch_size);
    return 0;
}

struct block_bf16 *block_bf16_new(int threads, struct err *e)
{
    struct engine *x = mem_alloc(sizeof *x);
    x->products = (struct block_bf16){wide, tall, deep};
    if (make_all(x, threads, e)) {
        block_bf16_free(&x->products);
        return NULL;
    }
    return &x->products;
}

void block_bf16_free(struct block_bf16 *b)
{
    if (!b)
        return;
    struct engine *x = (struct engine *)(void *)b;
    struct dnnl_multiply **all = &x->multiply[0][0][0];
    for (size_t i = 0; i < sizeof x->multiply / sizeof *all; i++)
        dnnl_multiply_free(all[i]);
    if (x->scratch)
        mem_free_large(x->scratch, x->scratch_size);
    mem_free(x);
}

/* --- the definition --- */

/* Of the panel, which holds pairs of what are neighbours along the sum, row k goes to c, times a. */
static void add_row_ref(float *c, float a, const uint16_t *panel, int64_t k)
{
    for (int64_t j = 0; j < BLOCK_EDGE; j++)
        c[j] += a * bf16_widen(panel[(k / 2 * BLOCK_EDGE + j) * 2 + k % 2]);
}

static void multiply_ref(float *c, int64_t ldc, const uint16_t *a, const uint16_t *panel, int64_t depth,
                         bool accumulate)
{
    for (int64_t i = 0; i < BLOCK_EDGE; i++, c += ldc) {
        if (!accumulate)
            memset(c, 0, BLOCK_EDGE * sizeof *c);
        for (int64_t k = 0; k < depth; k++)
            add_row_ref(c, bf16_widen(a[i * depth + k]), panel, k);
    }
}

static void wide_ref(const struct block_bf16 *x, int thread, float *c, const uint16_t *a, const uint16_t *b, int64_t n,
                     bool accumulate)
{
    (void)x, (void)thread;
    for (int64_t i = 0; i < n; i++)
        multiply_ref(c + i * BLOCK_EDGE, n * BLOCK_EDGE, a, b + i * BLOCK_SIZE, BLOCK_EDGE, accumulate);
}

static void tall_ref(const struct block_bf16 *x, int thread, float *c, const uint16_t *a, const uint16_t *b, int64_t n,
                     bool accumulate)
{
    (void)x, (void)thread;
    for (int64_t i = 0; i < n; i++)
        multiply_ref(c + i * BLOCK_SIZE, BLOCK_EDGE, a + i * BLOCK_SIZE, b, BLOCK_EDGE, accumulate);
}

static void deep_ref(const struct block_bf16 *x, int thread, float *c, const uint16_t *a, const uint16_t *b, int64_t n,
                     bool accumulate)
{
    (void)x, (void)thread;
    multiply_ref(c, BLOCK_EDGE, a, b, n * BLOCK_EDGE, accumulate);
}

const struct block_bf16 block_bf16_ref = {wide_ref, tall_ref, deep_ref};
