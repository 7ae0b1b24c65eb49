#include "base/profile.h"

#include <stdbool.h>

#include "base/clock.h"

static const char *const op_names[] = {
#define X(name, text) [OP_##name] = (text),
    PROFILE_OPS(X)
#undef X
};
static const char *const phase_names[] = {
#define X(name, text) [PHASE_##name] = (text),
    PROFILE_PHASES(X)
#undef X
};

static struct {
    bool on;
    enum profile_op op;
    enum profile_phase phase;
    double since;
    struct profile sums;
} now;

static void settle(void)
{
    const double t = clock_seconds();
    now.sums.op[now.op] += t - now.since;
    now.sums.phase[now.phase] += t - now.since;
    now.since = t;
}

void profile_begin(void)
{
    now.sums = (struct profile){0};
    now.op = OP_OTHER;
    now.phase = PHASE_OTHER;
    now.since = clock_seconds();
    now.on = true;
}

void profile_end(struct profile *out)
{
    settle();
    now.on = false;
    *out = now.sums;
}

void profile_op(enum profile_op op)
{
    if (!now.on)
        return;
    settle();
    now.op = op;
}

void profile_phase(enum profile_phase phase)
{
    if (!now.on)
        return;
    settle();
    now.phase = phase;
}

const char *profile_op_name(enum profile_op op)
{
    return op_names[op];
}

const char *profile_phase_name(enum profile_phase phase)
{
    return phase_names[phase];
}
