/* Rotary position embedding (Su et al. 2021), in Hugging Face's layout: element i of a head pairs with i + D/2.
 *
 *     y[i]       = x[i] cos(p w_i) - x[i+D/2] sin(p w_i)
 *     y[i+D/2]   = x[i+D/2] cos(p w_i) + x[i] sin(p w_i),     w_i = theta^(-2i/D) */
#ifndef RETORT_KERN_OP_ROPE_H
#define RETORT_KERN_OP_ROPE_H

#include <stdint.h>

/* "llama3" rope scaling (Llama 3.1 config.json, rope_scaling): long wavelengths are divided by factor, short ones kept,
 * those between low_freq_factor and high_freq_factor blended. factor 0: no scaling; linear_factor > 0 instead divides
 * all (rope_type "linear"). */
struct rope_scaling {
    double factor, low_freq_factor, high_freq_factor;
    double original_max_positions;
    double linear_factor;
};

/* w[D/2], computed in f64 and rounded once. scaling may be NULL. */
void rope_frequencies(float *w, int64_t D, double theta, const struct rope_scaling *scaling);

/* cos_table, sin_table [positions, D/2] for positions 0 .. positions-1. The angle is p * w in f32, as Hugging Face's
 * own modelling code has it; cos and sin of that angle in f64, rounded. */
void rope_table(float *cos_table, float *sin_table, const float *w, int64_t positions, int64_t D);

/* In place on x[T, H, D] (row stride ldx >= H*D): rotates row t by position[t]. direction +1: forward; -1: the backward
 * (the transpose of a rotation is the rotation back). */
void rope_apply(float *x, int64_t ldx, const int32_t *position, const float *cos_table, const float *sin_table,
                int direction, int64_t T, int64_t H, int64_t D);
void rope_apply_ref(float *x, int64_t ldx, const int32_t *position, const float *cos_table, const float *sin_table,
                    int direction, int64_t T, int64_t H, int64_t D);

#endif
