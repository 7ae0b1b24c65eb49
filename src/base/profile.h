/* Where the time of a process goes, for `retort bench`: the thread that computes says what it begins, the clock does
 * the rest. Every moment belongs to one op and to one phase. Off until profile_begin(), and then a mark is one branch.
 *
 * One thread of a process marks. Marks stand before an op, never after it: the next one ends it. */
#ifndef RETORT_BASE_PROFILE_H
#define RETORT_BASE_PROFILE_H

#define PROFILE_OPS(X)        \
    X(OTHER, "other")         \
    X(EMBEDDING, "embedding") \
    X(NORM, "norm")           \
    X(QKV, "qkv")             \
    X(ROPE, "rope")           \
    X(ATTENTION, "attention") \
    X(OUT, "o")               \
    X(GATE_UP, "gate_up")     \
    X(SWIGLU, "swiglu")       \
    X(DOWN, "down")           \
    X(ADAPTER, "adapter")     \
    X(RESIDUAL, "residual")   \
    X(SAVE, "save")           \
    X(TP_SUM, "tp_sum")       \
    X(HEAD, "head")           \
    X(LOSS, "loss")           \
    X(ENCODE, "encode")       \
    X(LABELS, "labels")       \
    X(REDUCE, "reduce")       \
    X(OPTIMIZER, "optimizer")

#define PROFILE_PHASES(X)   \
    X(OTHER, "other")       \
    X(FORWARD, "forward")   \
    X(ENCODE, "encode")     \
    X(LOSS, "loss")         \
    X(BACKWARD, "backward") \
    X(REDUCE, "reduce")     \
    X(UPDATE, "update")

enum profile_op {
#define X(name, text) OP_##name,
    PROFILE_OPS(X)
#undef X
        PROFILE_OP_COUNT
};
enum profile_phase {
#define X(name, text) PHASE_##name,
    PROFILE_PHASES(X)
#undef X
        PROFILE_PHASE_COUNT
};

struct profile {
    double op[PROFILE_OP_COUNT], phase[PROFILE_PHASE_COUNT]; /* seconds */
};

void profile_begin(void); /* from zero */
void profile_end(struct profile *out);

void profile_op(enum profile_op op);
void profile_phase(enum profile_phase phase);

const char *profile_op_name(enum profile_op op);
const char *profile_phase_name(enum profile_phase phase);

#endif
