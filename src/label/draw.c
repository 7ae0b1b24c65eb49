#include "label/draw.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void draw_points(double *points, int64_t count, struct label_key key, int32_t position)
{
    for (int64_t i = 0; i < count; i += 2) {
        const struct rng_block r = label_random(key, position, RANDOM_TAIL, (uint64_t)i / 2);
        points[i] = rng_to_uniform(r.v[0], r.v[1]);
        if (i + 1 < count)
            points[i + 1] = rng_to_uniform(r.v[2], r.v[3]);
    }
    qsort(points, (size_t)count, sizeof *points, compare);
}

double draw_offset(struct label_key key, int32_t position)
{
    const struct rng_block r = label_random(key, position, RANDOM_TAIL, 0);
    return rng_to_uniform(r.v[0], r.v[1]);
}

static int64_t points_below(const struct draws *d, double share)
{
    int64_t low = 0, high = d->count;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (d->points[middle] < share)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int64_t draws_below(const struct draws *d, double x)
{
    if (x >= d->total)
        return d->count;
    if (d->points)
        return points_below(d, x / d->total);
    const double n = ceil(x / d->total * (double)d->count - d->offset);
    return n < 0 ? 0 : n > (double)d->count ? d->count : (int64_t)n;
}

/* The mass at which draw m falls. */
static double draw_at(const struct draws *d, int64_t m)
{
    return (d->points ? d->points[m] : ((double)m + d->offset) / (double)d->count) * d->total;
}

/* Draws first .. end - 1 fall on this block of n e's, below which lies the mass `sum`. */
static void take_from_block(const float *e, int64_t n, double sum, const struct draws *d, int64_t first, int64_t end,
                            uint32_t first_id, uint32_t *ids)
{
    uint32_t last = first_id;
    double at = draw_at(d, first);
    for (int64_t j = 0; j < n && first < end; j++) {
        if (!(e[j] > 0))
            continue;
        sum += (double)e[j];
        last = first_id + (uint32_t)j;
        while (first < end && at < sum) {
            *ids++ = last;
            at = ++first < end ? draw_at(d, first) : 0;
        }
    }
    /* the block's own sum was rounded otherwise: what falls between the two belongs to its last id */
    for (; first < end; first++)
        *ids++ = last;
}

void row_take_draws(const struct rows *r, int64_t row, const struct draws *d, int64_t first, int64_t end,
                    uint32_t first_id, uint32_t *ids)
{
    enum { ROUNDINGS = 8 }; /* more than lie between a draw's mass and its number */
    const double *mass = r->block_mass + row * r->blocks, below_first = 1 - ROUNDINGS * DBL_EPSILON;
    double next = first < end ? draw_at(d, first) * below_first : 0;
    for (int64_t b = 0; first < end; b++) {
        if (r->before[row] + mass[b] < next)
            continue; /* as most blocks, without a division */
        int64_t upto = draws_below(d, r->before[row] + mass[b]);
        upto = upto < end ? upto : end;
        if (upto <= first)
            continue;
        const double below = r->before[row] + (b ? mass[b - 1] : 0);
        take_from_block(row_block(r, row, b), rows_block_size(r, b), below, d, first, upto,
                        first_id + (uint32_t)(b * ROW_BLOCK), ids);
        ids += upto - first;
        first = upto;
        next = first < end ? draw_at(d, first) * below_first : 0;
    }
}
