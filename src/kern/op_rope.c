#include "kern/op_rope.h"

#include <math.h>

#include "kern/kernel.h"
#include "kern/threads.h"

void KERNEL(rope_apply)(float *x, int64_t ldx, const int32_t *position, const float *cos_table, const float *sin_table,
                        int direction, int64_t T, int64_t H, int64_t D)
{
    const int64_t half = D / 2;
    const float sign = direction < 0 ? -1.0f : 1.0f;
#pragma omp parallel for schedule(static) num_threads(kern_threads(T *H *D))
    for (int64_t t = 0; t < T; t++) {
        const float *c = cos_table + position[t] * half, *s = sin_table + position[t] * half;
        for (int64_t h = 0; h < H; h++) {
            float *a = x + t * ldx + h * D, *b = a + half;
#pragma omp simd
            for (int64_t i = 0; i < half; i++) {
                const float lo = a[i], hi = b[i], sine = sign * s[i];
                a[i] = lo * c[i] - hi * sine;
                b[i] = hi * c[i] + lo * sine;
            }
        }
    }
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

void rope_table(float *cos_table, float *sin_table, const float *w, int64_t positions, int64_t D)
{
    const int64_t half = D / 2;
#pragma omp parallel for schedule(static) num_threads(kern_threads(positions *half * 64))
    for (int64_t p = 0; p < positions; p++)
        for (int64_t i = 0; i < half; i++) {
            const float angle = (float)p * w[i];
            cos_table[p * half + i] = (float)cos((double)angle);
            sin_table[p * half + i] = (float)sin((double)angle);
        }
}

#endif
