#include "kern/op_rope.h"

#include <math.h>

#include "kern/kernel.h"
#include "kern/threads.h"

/* All heads of one token; cosine and sine are the rows of its position. */
static void rotate_row(float *x, const float *cosine, const float *sine, float sign, int64_t H, int64_t half)
{
    for (int64_t h = 0; h < H; h++) {
        float *a = x + h * 2 * half, *b = a + half;
#pragma omp simd
        for (int64_t i = 0; i < half; i++) {
            const float lo = a[i], hi = b[i], c = cosine[i], s = sign * sine[i];
            a[i] = lo * c - hi * s;
            b[i] = hi * c + lo * s;
        }
    }
}

void KERNEL(rope_apply)(float *x, int64_t ldx, const int32_t *position, const float *cos_table, const float *sin_table,
                        int direction, int64_t T, int64_t H, int64_t D)
{
    const int64_t half = D / 2;
    const float sign = direction < 0 ? -1.0f : 1.0f;
    KERN_FOR(t, T, T * H * D,
             rotate_row(x + t * ldx, cos_table + position[t] * half, sin_table + position[t] * half, sign, H, half));
}

#ifdef KERN_ONCE

void rope_apply_ref(float *x, int64_t ldx, const int32_t *position, const float *cos_table, const float *sin_table,
                    int direction, int64_t T, int64_t H, int64_t D)
{
    const int64_t half = D / 2;
    for (int64_t t = 0; t < T; t++)
        for (int64_t h = 0; h < H; h++)
            for (int64_t i = 0; i < half; i++) {
                float *a = x + t * ldx + h * D + i, *b = a + half;
                const double c = cos_table[position[t] * half + i],
                             s = (double)direction * sin_table[position[t] * half + i];
                const double lo = *a, hi = *b;
                *a = (float)(lo * c - hi * s);
                *b = (float)(hi * c + lo * s);
            }
}

static double scale_llama3(double w, const struct rope_scaling *s)
{
    const double wavelength = 2 * M_PI / w;
    if (wavelength > s->original_max_positions / s->low_freq_factor)
        return w / s->factor;
    if (wavelength < s->original_max_positions / s->high_freq_factor)
        return w;
    const double keep =
        (s->original_max_positions / wavelength - s->low_freq_factor) / (s->high_freq_factor - s->low_freq_factor);
    return (1 - keep) * w / s->factor + keep * w;
}

void rope_frequencies(float *w, int64_t D, double theta, const struct rope_scaling *scaling)
{
    for (int64_t i = 0; i < D / 2; i++) {
        double f = pow(theta, -2 * (double)i / (double)D);
        if (scaling && scaling->linear_factor > 0)
            f /= scaling->linear_factor;
        else if (scaling && scaling->factor > 0)
            f = scale_llama3(f, scaling);
        w[i] = (float)f;
    }
}

static void table_row(float *cosine, float *sine, const float *w, int64_t position, int64_t half)
{
    for (int64_t i = 0; i < half; i++) {
        const float angle = (float)position * w[i];
        cosine[i] = (float)cos((double)angle);
        sine[i] = (float)sin((double)angle);
    }
}

void rope_table(float *cos_table, float *sin_table, const float *w, int64_t positions, int64_t D)
{
    enum { WORK = 64 }; /* of a cosine and a sine, in additions */
    const int64_t half = D / 2;
    KERN_FOR(p, positions, positions * half * WORK, table_row(cos_table + p * half, sin_table + p * half, w, p, half));
}

#endif
