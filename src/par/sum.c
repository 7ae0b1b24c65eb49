/* See sum.h. Ranks of one host reach each other's values through a shared window, others by messages; and few values go
 * whole to every rank, which adds them itself, while of many each rank adds a slice. The bits are the same each time,
 * because the order is combine.h's. Long vectors go piece by piece, so that kept memory is bounded. */
#include "par/sum.h"

#include "base/assert.h"
#include "par/combine.h"
#include "par/exchange.h"
#include "par/flight.h"
#include "par/window.h"

enum {
    MESSAGE_PIECE_BYTES = 16 << 20, /* reduced at a time, by messages */
    WHOLE_BYTES = 64 << 10,         /* the most that a rank takes from others where values go whole; two ranks always do
                                       so: it costs them nothing */
};

static size_t piece_bytes(const struct window *w)
{
    return w ? WINDOW_BYTES : MESSAGE_PIECE_BYTES;
}

static const void *const *share(const struct comm *c, struct window *w, const void *x, size_t size)
{
    return w ? window_whole(w, x, size) : exchange_whole(c, x, size);
}

static void reduce_piece(const struct comm *c, struct window *w, void *x, int64_t n, size_t element,
                         combine_function *combine)
{
    const size_t size = (size_t)n * element;
    if (c->size == 2 || size * (size_t)(c->size - 1) <= WHOLE_BYTES)
        combine(x, share(c, w, x, size), c->size, n);
    else if (w)
        window_slices(w, x, n, element, combine);
    else
        exchange_slices(c, x, n, element, combine);
}

static void reduce(const struct comm *c, void *x, int64_t n, size_t element, combine_function *combine)
{
    ASSERT(n >= 0);
    if (c->size == 1)
        return;
    struct window *w = window_of(c);
    const int64_t piece = (int64_t)(piece_bytes(w) / element);
    for (int64_t at = 0; at < n; at += piece)
        reduce_piece(c, w, (char *)x + (size_t)at * element, n - at < piece ? n - at : piece, element, combine);
}

void sum_f32(const struct comm *c, float *x, int64_t n)
{
    reduce(c, x, n, sizeof *x, combine_sum_f32);
}

bool sum_goes_on(const struct comm *c)
{
    return c->size > 1 && !window_of(c);
}

static bool flies(const struct comm *c, int64_t n)
{
    return sum_goes_on(c) && flight_takes(c, n);
}

void sum_start(const struct comm *c, int slot, float *x, int64_t n)
{
    ASSERT(n >= 0);
    if (flies(c, n))
        flight_start(flight_of(c, slot), x, n);
    else
        sum_f32(c, x, n);
}

void sum_finish(const struct comm *c, int slot)
{
    if (sum_goes_on(c))
        flight_finish(flight_of(c, slot));
}

void sum_f64(const struct comm *c, double *x, int64_t n)
{
    reduce(c, x, n, sizeof *x, combine_sum_f64);
}

void max_f32(const struct comm *c, float *x, int64_t n)
{
    reduce(c, x, n, sizeof *x, combine_max_f32);
}

/* parts[r][i]: rank r's x. The value before rank r + 1 is the value before rank r plus x of rank r, to the bit. */
static void scan_parts(const struct comm *c, const double *const *parts, double *before, double *total, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double sum = 0, mine = 0;
        for (int r = 0; r < c->size; r++) {
            mine = r == c->rank ? sum : mine;
            sum = r == 0 ? parts[0][i] : sum + parts[r][i];
        }
        before[i] = mine;
        total[i] = sum;
    }
}

void scan_f64(const struct comm *c, double *before, double *total, const double *x, int64_t n)
{
    ASSERT(n >= 0);
    struct window *w = window_of(c);
    const int64_t piece = WHOLE_BYTES / (int64_t)sizeof *x;
    for (int64_t at = 0; at < n; at += piece) {
        const int64_t m = n - at < piece ? n - at : piece;
        const void *const *parts = share(c, w, x + at, (size_t)m * sizeof *x);
        scan_parts(c, (const double *const *)parts, before + at, total + at, m);
    }
}

void sum_release(void)
{
    exchange_release();
}
