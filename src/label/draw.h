/* The draws of one label from the tail of its distribution: points on the cumulative mass, in the order of ids.
 * `sampled` draws systematically: equidistant points behind one random offset; `random` draws independent points,
 * sorted.
 *
 * Which shard, which block and which id a point falls on is decided by one function, which grows with the mass:
 * whatever is rounded on the way, the shards together make exactly the draws that there are. Private to src/label. */
#ifndef RETORT_LABEL_DRAW_H
#define RETORT_LABEL_DRAW_H

#include <stdint.h>

#include "label/random.h"
#include "label/rows.h"

struct draws {
    int64_t count;
    double offset;        /* of the equidistant points, in [0, 1) of their distance */
    const double *points; /* sorted, in [0, 1); NULL: equidistant ones */
    double total;         /* mass of the whole tail */
};

/* Fills points[count] with the sorted points of `random` at a position. */
void draw_points(double *points, int64_t count, struct label_key key, int32_t position);
/* The offset of `sampled` at a position. */
double draw_offset(struct label_key key, int32_t position);

/* How many draws fall on the mass below x: all if x reaches the total. */
int64_t draws_below(const struct draws *d, double x);

/* Writes the ids of draws first .. end - 1, those that fall on this shard's part of the row's tail. */
void row_take_draws(const struct rows *r, int64_t row, const struct draws *d, int64_t first, int64_t end,
                    uint32_t first_id, uint32_t *ids);

#endif
