#include "label/rows.h"

#include <math.h>

#include "base/mem.h"
#include "kern/isa.h"
#include "kern/op_softmax.h"

/* log e of what takes no part: its exponential is 0, and so is its product with it */
#define NO_PART_LOG (-1e4f)
#define NO_PART (-0.0f)

enum { PIECE_BLOCKS = 16 }; /* a piece of a row, with its logarithms, stays in L1 */

static void *again(void *p, int64_t count, size_t size)
{
    mem_free(p);
    return mem_array((size_t)count, size);
}

void rows_reserve(struct rows *r, int64_t count)
{
    r->count = count;
    r->blocks = (r->V + ROW_BLOCK - 1) / ROW_BLOCK;
    if (count <= r->room)
        return;
    r->room = count;
    r->max = again(r->max, count, sizeof *r->max);
    r->sums = again(r->sums, count, 2 * sizeof *r->sums);
    r->block_mass = again(r->block_mass, count * r->blocks, sizeof *r->block_mass);
    r->block_max = again(r->block_max, count * r->blocks, sizeof *r->block_max);
    r->cut = again(r->cut, count, sizeof *r->cut);
    r->ties = again(r->ties, count, sizeof *r->ties);
    r->head_count = again(r->head_count, count, sizeof *r->head_count);
    r->begin = again(r->begin, count, sizeof *r->begin);
    r->mass = again(r->mass, count, sizeof *r->mass);
    r->before = again(r->before, count, sizeof *r->before);
    r->total = again(r->total, count, sizeof *r->total);
}

void rows_release(struct rows *r)
{
    mem_free(r->max);
    mem_free(r->sums);
    mem_free(r->block_mass);
    mem_free(r->block_max);
    mem_free(r->cut);
    mem_free(r->ties);
    mem_free(r->head_count);
    mem_free(r->begin);
    mem_free(r->mass);
    mem_free(r->before);
    mem_free(r->total);
}

bool row_is_finite(const struct rows *r, int64_t row)
{
    return isfinite(r->sums[2 * row]) && isfinite(r->sums[2 * row + 1]);
}

static void row_maximum(struct rows *r, int64_t row)
{
    softmax_max(&r->max[row], r->e + row * r->ld, r->ld, r->scale, r->allowed, 1, r->V);
}

void rows_maxima(struct rows *r)
{
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < r->count; row++)
        row_maximum(r, row);
}

/* to[j] = value for the ids of a block that are not allowed */
static void mark_not_allowed(const struct rows *r, int64_t block, float *to, float value)
{
    const int64_t n = rows_block_size(r, block);
    for (int64_t j = 0; j < n; j += 64) {
        uint64_t out = ~r->allowed[(block * ROW_BLOCK + j) / 64];
        if (n - j < 64)
            out &= ((uint64_t)1 << (n - j)) - 1;
        for (; out; out &= out - 1)
            to[j + __builtin_ctzll(out)] = value;
    }
}

/* Eight sums side by side, as two vectors of four, on any instruction set: the bits do not depend on it, only the time.
 */
enum { LANES = 4 };
typedef float floats __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t keys __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef double doubles __attribute__((vector_size(8 * LANES)));

struct block_sums {
    double mass, dot; /* sum of e; sum of e x */
    float max;        /* of e, at least 0 */
};

struct lane_sums {
    doubles mass, dot;
    keys max; /* bits of an e: of what is not negative, larger bits are larger values */
};

static inline __attribute__((always_inline)) void sum_lanes(struct lane_sums *s, const float *e, const float *x)
{
    const floats a = *(const floats *)e, product = a * *(const floats *)x;
    const keys key = (keys)a, larger = key > s->max;
    s->mass += __builtin_convertvector(a, doubles);
    s->dot += __builtin_convertvector(product, doubles);
    s->max = (key & larger) | (s->max & ~larger);
}

static inline __attribute__((always_inline)) void sum_block(struct block_sums *to, const float *e, const float *x,
                                                            int64_t n)
{
    struct lane_sums s, t;
    s.mass = s.dot = t.mass = t.dot = (doubles){0};
    s.max = t.max = (keys){0};
    const int64_t whole = n - n % (2 * LANES);
    for (int64_t j = 0; j < whole; j += 2 * LANES) {
        sum_lanes(&s, e + j, x + j);
        sum_lanes(&t, e + j + LANES, x + j + LANES);
    }
    int32_t max = 0;
    *to = (struct block_sums){0};
    s.mass += t.mass;
    s.dot += t.dot;
    for (int i = 0; i < LANES; i++) {
        to->mass += s.mass[i];
        to->dot += s.dot[i];
        max = s.max[i] > max ? s.max[i] : max;
        max = t.max[i] > max ? t.max[i] : max;
    }
    memcpy(&to->max, &max, sizeof max);
    for (int64_t j = whole; j < n; j++) {
        to->mass += (double)e[j];
        to->dot += (double)(e[j] * x[j]);
        to->max = e[j] > to->max ? e[j] : to->max;
    }
}

/* log e. The product is rounded before the difference, as it was for the maximum: of the largest it leaves 0. */
static inline __attribute__((always_inline)) void logs(float *x, const float *z, float scale, float max, int64_t n)
{
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        x[j] = z[j] * scale - max;
}

struct row_loops {
    void (*logs)(float *x, const float *z, float scale, float max, int64_t n);
    void (*sums)(struct block_sums *to, const float *e, const float *x, int64_t n);
};

static void logs_plain(float *x, const float *z, float scale, float max, int64_t n)
{
    logs(x, z, scale, max, n);
}

static void sums_plain(struct block_sums *to, const float *e, const float *x, int64_t n)
{
    sum_block(to, e, x, n);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static void logs_avx2(float *x, const float *z, float scale, float max, int64_t n)
{
    logs(x, z, scale, max, n);
}

__attribute__((target("avx2"))) static void sums_avx2(struct block_sums *to, const float *e, const float *x, int64_t n)
{
    sum_block(to, e, x, n);
}
#else
#define logs_avx2 logs_plain
#define sums_avx2 sums_plain
#endif

static const struct row_loops *loops_of_isa(void)
{
    static const struct row_loops plain = {logs_plain, sums_plain}, avx2 = {logs_avx2, sums_avx2};
    return isa_used() >= ISA_AVX2 ? &avx2 : &plain;
}

/* Blocks first .. end - 1 of a row: one call of the kernel for all of them. */
static void piece_exponentials(struct rows *r, int64_t row, int64_t first, int64_t end)
{
    float logs[PIECE_BLOCKS * ROW_BLOCK], *x = logs, *e = row_block(r, row, first);
    const int64_t size = (end - first - 1) * ROW_BLOCK + rows_block_size(r, end - 1);
    const struct row_loops *loops = loops_of_isa();
    loops->logs(x, e, r->scale, r->max[row], size);
    for (int64_t b = first; r->allowed && b < end; b++)
        mark_not_allowed(r, b, x + (b - first) * ROW_BLOCK, NO_PART_LOG);
    vector_exp(e, x, size);
    for (int64_t b = first; b < end; b++, e += ROW_BLOCK, x += ROW_BLOCK) {
        const int64_t at = row * r->blocks + b;
        struct block_sums s;
        loops->sums(&s, e, x, rows_block_size(r, b));
        r->block_mass[at] = s.mass;
        r->block_max[at] = s.max;
        r->sums[2 * row] += s.mass;
        r->sums[2 * row + 1] += s.dot;
        if (r->allowed)
            mark_not_allowed(r, b, e, NO_PART);
    }
}

static void row_exponentials(struct rows *r, int64_t row)
{
    r->sums[2 * row] = r->sums[2 * row + 1] = 0;
    for (int64_t b = 0; b < r->blocks; b += PIECE_BLOCKS)
        piece_exponentials(r, row, b, b + PIECE_BLOCKS < r->blocks ? b + PIECE_BLOCKS : r->blocks);
}

void rows_exponentials(struct rows *r, bool alone)
{
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < r->count; row++) {
        if (alone)
            row_maximum(r, row);
        row_exponentials(r, row);
    }
}

/* Whether a block may hold a part of the row's head. */
static bool block_has_head(const struct rows *r, int64_t row, int64_t block)
{
    return row_key(r->block_max[row * r->blocks + block]) >= r->cut[row];
}

static int64_t count_head(const struct rows *r, int64_t row)
{
    const int32_t cut = r->cut[row];
    int64_t count = r->ties[row];
    for (int64_t b = 0; b < r->blocks; b++) {
        if (!block_has_head(r, row, b))
            continue;
        const float *e = row_block(r, row, b);
        const int64_t n = rows_block_size(r, b);
#pragma omp simd reduction(+ : count)
        for (int64_t j = 0; j < n; j++)
            count += row_key(e[j]) > cut;
    }
    return count;
}

void rows_count_heads(struct rows *r)
{
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < r->count; row++)
        r->head_count[row] = count_head(r, row);
}

static double mass_of(const float *e, int64_t n)
{
    double s = 0;
    for (int64_t j = 0; j < n; j++)
        s += (double)e[j];
    return s;
}

void row_take_head(struct rows *r, int64_t row, uint32_t first_id, uint32_t *ids, float *p)
{
    const int32_t cut = r->cut[row];
    int64_t ties = r->ties[row];
    for (int64_t b = 0; b < r->blocks; b++) {
        if (!block_has_head(r, row, b))
            continue;
        float *e = row_block(r, row, b);
        const int64_t n = rows_block_size(r, b);
        for (int64_t j = 0; j < n; j++) {
            const int32_t key = row_key(e[j]);
            if (key < cut || (key == cut && ties == 0))
                continue;
            ties -= key == cut;
            *ids++ = first_id + (uint32_t)(b * ROW_BLOCK + j);
            *p++ = (float)((double)e[j] / r->sums[2 * row]);
            e[j] = NO_PART;
        }
        r->block_mass[row * r->blocks + b] = mass_of(e, n);
    }
}

void rows_tail_masses(struct rows *r)
{
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < r->count; row++) {
        double *mass = r->block_mass + row * r->blocks, sum = 0;
        for (int64_t b = 0; b < r->blocks; b++)
            mass[b] = sum += mass[b];
        r->mass[row] = sum;
    }
}
