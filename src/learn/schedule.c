#include "learn/schedule.h"

#include <math.h>

double schedule_rate(const struct schedule *s, int64_t step)
{
    if (step <= s->warmup_steps)
        return s->peak * (double)step / (double)s->warmup_steps;
    if (s->name == SCHEDULE_KIND_CONSTANT || s->steps <= s->warmup_steps)
        return s->peak;
    double done = (double)(step - s->warmup_steps) / (double)(s->steps - s->warmup_steps);
    if (done > 1)
        done = 1;
    double left = s->name == SCHEDULE_KIND_LINEAR ? 1 - done : 0.5 * (1 + cos(M_PI * done));
    return s->peak * (s->final_ratio + (1 - s->final_ratio) * left);
}
