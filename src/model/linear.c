#include "model/linear.h"

#include "base/profile.h"
#include "kern/op_linear.h"
#include "par/progress.h"
#include "par/sum.h"

static enum precision precision(const struct tape *t)
{
    return t->m->options.precision;
}

/* What the products of a layer count as. */
static const enum profile_op ops[LIN_COUNT] = {
    [LIN_Q] = OP_QKV,        [LIN_K] = OP_QKV,      [LIN_V] = OP_QKV,     [LIN_O] = OP_OUT,
    [LIN_GATE] = OP_GATE_UP, [LIN_UP] = OP_GATE_UP, [LIN_DOWN] = OP_DOWN,
};

static int64_t outputs(const struct linear *l)
{
    return param_local_rows(l->w);
}

static int64_t inputs(const struct linear *l)
{
    return param_local_cols(l->w);
}

static int64_t lora_rank(const struct linear *l)
{
    return l->lora ? l->lora->rank : 0;
}

static float *gradient(const struct tape *t, const struct param *p)
{
    return t->m->gradient + p->offset;
}

static bool drops(const struct tape *t, const struct batch *b)
{
    return b->place && t->m->options.dropout > 0;
}

/* The same mask on the way forward and back: it is drawn again from its key. */
static void apply_dropout(const struct tape *t, const struct batch *b, const struct linear *l, int layer, int slot,
                          float *y, const float *x)
{
    int64_t K = inputs(l);
    dropout_apply(y, K, x, K, t->m->options.dropout, b->dropout_key, (uint64_t)layer * LIN_COUNT + (uint64_t)slot,
                  b->place, l->w->cols.first, b->T, K);
}

static const float *adapter_input(struct tape *t, const struct batch *b, const struct linear *l, int layer, int slot,
                                  const float *x)
{
    if (!drops(t, b))
        return x;
    apply_dropout(t, b, l, layer, slot, t->dropped, x);
    return t->dropped;
}

/* scale * A x of each adapter, where the layers' own products have not left it already: dropout gives each another x.
 */
static void adapters_inner(struct tape *t, const struct batch *b, const struct linear_use *uses, int count, int layer,
                           const float *x)
{
    for (int i = 0; i < count; i++) {
        const struct linear *l = uses[i].l;
        const int64_t K = inputs(l), r = lora_rank(l);
        if (r && drops(t, b))
            gemm_forward(precision(t), uses[i].inner, r, adapter_input(t, b, l, layer, uses[i].slot, x), K,
                         param_matrix(l->lora->a), b->T, false);
        if (r)
            vector_scale(uses[i].inner, l->lora->scale, b->T * r);
    }
}

void linear_columns_forward(struct tape *t, const struct batch *b, const struct linear_use *uses, int count, int layer,
                            const float *x)
{
    struct gemm_output outputs_of[GEMM_OUTPUTS_MAX];
    int n = 0;
    for (int i = 0; i < count; i++) {
        const struct linear *l = uses[i].l;
        outputs_of[n++] = (struct gemm_output){uses[i].y, outputs(l), param_matrix(l->w), false};
        if (l->lora && !drops(t, b))
            outputs_of[n++] = (struct gemm_output){uses[i].inner, l->lora->rank, param_matrix(l->lora->a), false};
    }
    progress_poll();
    profile_op(ops[uses[0].slot]);
    gemm_forward_each(precision(t), outputs_of, n, x, inputs(uses[0].l), b->T);
    for (int i = 0; i < count; i++)
        if (uses[i].l->bias)
            bias_forward(uses[i].y, outputs(uses[i].l), uses[i].l->bias->data, b->T, outputs(uses[i].l));
    profile_op(OP_ADAPTER);
    adapters_inner(t, b, uses, count, layer, x);
    for (int i = 0; i < count; i++)
        if (uses[i].l->lora)
            gemm_forward(precision(t), uses[i].y, outputs(uses[i].l), uses[i].inner, lora_rank(uses[i].l),
                         param_matrix(uses[i].l->lora->b), b->T, true);
}

static float *row_inner(struct tape *t, const struct batch *b, const struct linear_row *r, float *inner, int64_t ld)
{
    const float *input = adapter_input(t, b, r->l, r->layer, r->slot, r->x);
    gemm_forward(precision(t), inner, ld, input, inputs(r->l), param_matrix(r->l->lora->a), b->T, false);
    return inner;
}

/* Without other shards the product adds to the residual stream itself. */
static void row_alone(struct tape *t, const struct batch *b, const struct linear_row *r)
{
    const int64_t d = outputs(r->l), rank = lora_rank(r->l);
    profile_op(OP_RESIDUAL);
    if (r->to != r->from)
        rows_scale(r->to, d, 1, r->from, d, b->T, d);
    profile_op(ops[r->slot]);
    gemm_forward(precision(t), r->to, d, r->x, inputs(r->l), param_matrix(r->l->w), b->T, true);
    profile_op(OP_ADAPTER);
    if (rank)
        vector_scale(row_inner(t, b, r, r->inner, rank), r->l->lora->scale, b->T * rank);
}

/* With them each makes a part of the sum, in which an adapter's inner values ride along. */
static void row_part(struct tape *t, const struct batch *b, const struct linear_row *r)
{
    const int64_t d = outputs(r->l), ld = d + lora_rank(r->l);
    profile_op(ops[r->slot]);
    gemm_forward(precision(t), t->sum, ld, r->x, inputs(r->l), param_matrix(r->l->w), b->T, false);
    profile_op(OP_ADAPTER);
    if (r->l->lora)
        row_inner(t, b, r, t->sum + d, ld);
    profile_op(OP_TP_SUM);
    sum_start(&t->m->shards, t->half, t->sum, b->T * ld);
}

static void take_sum(struct tape *t, const struct batch *b, const struct linear_row *r)
{
    const int64_t d = outputs(r->l), rank = lora_rank(r->l), ld = d + rank;
    profile_op(OP_TP_SUM);
    sum_finish(&t->m->shards, t->half);
    profile_op(OP_RESIDUAL);
    rows_add(r->to, d, r->from, d, t->sum, ld, b->T, d);
    if (rank)
        rows_scale(r->inner, rank, r->l->lora->scale, t->sum + d, ld, b->T, rank);
}

void linear_row_start(struct tape *t, const struct batch *b, const struct linear_row *r)
{
    progress_poll();
    if (t->m->shard.count == 1)
        row_alone(t, b, r);
    else
        row_part(t, b, r);
}

void linear_row_finish(struct tape *t, const struct batch *b, const struct linear_row *r)
{
    if (t->m->shard.count > 1)
        take_sum(t, b, r);
    profile_op(OP_ADAPTER);
    if (r->l->lora)
        gemm_forward(precision(t), r->to, outputs(r->l), r->inner, lora_rank(r->l), param_matrix(r->l->lora->b), b->T,
                     true);
}

bool linear_reads_input(const struct linear *l)
{
    return l->w->trainable || (l->lora && l->lora->a->trainable);
}

/* dx += dropout'(dinner A), where dinner[T, r] is the gradient of A x. */
static void adapter_input_backward(struct tape *t, const struct batch *b, const struct linear *l, int layer, int slot,
                                   float *dx, int64_t lddx)
{
    int64_t K = inputs(l), r = lora_rank(l);
    if (!drops(t, b)) {
        gemm_backward_input(precision(t), dx, lddx, t->dinner, r, param_matrix(l->lora->a), b->T, true);
        return;
    }
    gemm_backward_input(precision(t), t->dropped, K, t->dinner, r, param_matrix(l->lora->a), b->T, false);
    apply_dropout(t, b, l, layer, slot, t->dropped, t->dropped);
    for (int64_t i = 0; i < b->T; i++)
        vector_add(dx + i * lddx, t->dropped + i * K, K);
}

/* With t->dinner = dL/d(A x): the gradient of A, and the adapter's part of dL/dx. */
static void adapter_a_backward(struct tape *t, const struct batch *b, const struct linear *l, int layer, int slot,
                               float *dx, int64_t lddx, const float *x)
{
    int64_t K = inputs(l), r = lora_rank(l);
    if (l->lora->a->trainable) {
        const float *input = adapter_input(t, b, l, layer, slot, x);
        gemm_backward_weight(precision(t), gradient(t, l->lora->a), K, t->dinner, r, input, K, r, K, b->T);
    }
    adapter_input_backward(t, b, l, layer, slot, dx, lddx);
}

/* y = x W^T + b + inner B^T: the gradients of W, b and B. */
static void outputs_backward(struct tape *t, const struct batch *b, const struct linear *l, const float *dy,
                             const float *x, const float *inner)
{
    int64_t N = outputs(l), K = inputs(l), r = lora_rank(l);
    if (l->w->trainable)
        gemm_backward_weight(precision(t), gradient(t, l->w), K, dy, N, x, K, N, K, b->T);
    if (l->bias && l->bias->trainable)
        bias_backward(gradient(t, l->bias), dy, N, b->T, N);
    if (r && l->lora->b->trainable)
        gemm_backward_weight(precision(t), gradient(t, l->lora->b), r, dy, N, inner, r, N, r, b->T);
}

/* This shard's part of dL/dx, and of the gradient of each A x beside it, into t->sum. */
static void columns_part(struct tape *t, const struct batch *b, const struct linear_use *uses, int count, int64_t ld)
{
    int64_t at = inputs(uses[0].l);
    for (int i = 0; i < count; i++) {
        const struct linear *l = uses[i].l;
        const int64_t N = outputs(l), r = lora_rank(l);
        profile_op(ops[uses[i].slot]);
        gemm_backward_input(precision(t), t->sum, ld, uses[i].y, N, param_matrix(l->w), b->T, i > 0);
        profile_op(OP_ADAPTER);
        if (r)
            gemm_backward_input(precision(t), t->sum + at, ld, uses[i].y, N, param_matrix(l->lora->b), b->T, false);
        at += r;
    }
}

void linear_columns_backward(struct tape *t, const struct batch *b, const struct linear_use *uses, int count, int layer,
                             const float *x, int64_t *stride)
{
    int64_t d = inputs(uses[0].l), ld = d;
    for (int i = 0; i < count; i++)
        ld += lora_rank(uses[i].l);
    columns_part(t, b, uses, count, ld);
    profile_op(OP_TP_SUM);
    sum_start(&t->m->shards, t->half, t->sum, b->T * ld);
    for (int i = 0; i < count; i++) { /* what needs no sum hides it */
        progress_poll();
        profile_op(ops[uses[i].slot]);
        outputs_backward(t, b, uses[i].l, uses[i].y, x, uses[i].inner);
    }
    profile_op(OP_TP_SUM);
    sum_finish(&t->m->shards, t->half);
    profile_op(OP_ADAPTER);
    int64_t at = d;
    for (int i = 0; i < count; i++) {
        const struct linear *l = uses[i].l;
        int64_t r = lora_rank(l);
        if (r) {
            rows_scale(t->dinner, r, l->lora->scale, t->sum + at, ld, b->T, r);
            adapter_a_backward(t, b, l, layer, uses[i].slot, t->sum, ld, x);
        }
        at += r;
    }
    *stride = ld;
}

void linear_row_backward(struct tape *t, const struct batch *b, const struct linear *l, int layer, int slot, float *dx,
                         const float *dy, const float *x, const float *inner)
{
    int64_t d = outputs(l), K = inputs(l), r = lora_rank(l);
    profile_op(ops[slot]);
    outputs_backward(t, b, l, dy, x, inner);
    gemm_backward_input(precision(t), dx, K, dy, d, param_matrix(l->w), b->T, false);
    if (!r)
        return;
    profile_op(OP_ADAPTER);
    gemm_backward_input(precision(t), t->dinner, r, dy, d, param_matrix(l->lora->b), b->T, false);
    vector_scale(t->dinner, l->lora->scale, b->T * r);
    adapter_a_backward(t, b, l, layer, slot, dx, K, x);
}
