/* The learning rate of a step: linear warm-up, then constant, linear or cosine down to final_ratio * peak at the last
 * step (SEMANTICS, Loss, steps, optimizer). */
#ifndef RETORT_LEARN_SCHEDULE_H
#define RETORT_LEARN_SCHEDULE_H

#include <stdint.h>

enum schedule_name { SCHEDULE_KIND_CONSTANT, SCHEDULE_KIND_LINEAR, SCHEDULE_KIND_COSINE };

struct schedule {
    enum schedule_name name;
    double peak, final_ratio;
    int64_t warmup_steps, steps;
};

/* step counts from 1. peak * step / warmup_steps up to the warm-up's end. */
double schedule_rate(const struct schedule *s, int64_t step);

#endif
