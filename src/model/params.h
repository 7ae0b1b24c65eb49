/* The one parameter table: what tensors a model has, their names in every format, their shapes, how they are cut over
 * tensor-parallel shards. It drives allocation, loading, sharding, checkpoints, reduction, export and gradient tests.
 *
 * Sharding is Megatron's 1-D scheme: q, k, v, gate, up by rows of the output, o and down by columns of the input,
 * embedding and head by vocabulary. Any degree from 1 to the number of query heads; shards may be uneven, and a KV head
 * that query heads of two shards use is on both (SEMANTICS, Parallel models). */
#ifndef RETORT_MODEL_PARAMS_H
#define RETORT_MODEL_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/dtype.h"
#include "base/err.h"
#include "fmt/config.h"
#include "kern/gemm.h"

enum param_role {
    PARAM_EMBED,
    PARAM_ATTN_NORM,
    PARAM_Q,
    PARAM_K,
    PARAM_V,
    PARAM_Q_BIAS,
    PARAM_K_BIAS,
    PARAM_V_BIAS,
    PARAM_Q_NORM,
    PARAM_K_NORM,
    PARAM_O,
    PARAM_MLP_NORM,
    PARAM_GATE,
    PARAM_UP,
    PARAM_DOWN,
    PARAM_NORM,
    PARAM_HEAD,
    PARAM_ROLES
};

/* What a dimension of a tensor runs over: this decides its size and how shards cut it. */
enum dim { DIM_ONE, DIM_HIDDEN, DIM_HEAD, DIM_RANK, DIM_Q, DIM_KV, DIM_FFN, DIM_VOCAB };

struct param_row {
    enum param_role role;
    const char *hf, *gguf; /* names; %d is the layer */
    const char *module;    /* what adapters call it ("q_proj"); NULL: no linear layer of a block */
    enum dim rows, cols;   /* outputs, inputs; cols DIM_ONE: a vector */
    bool per_layer;
    bool decay;    /* AdamW's weight decay applies: matrices, not norms and biases */
    bool permuted; /* GGUF of architecture llama stores these rows interleaved for rotary pairs */
};

const struct param_row *param_row(enum param_role role);
bool param_exists(const struct model_config *c, enum param_role role);

/* Shard p of P of a model: what it holds of every dimension, in elements. */
struct range {
    int64_t first, end;
};
struct shard {
    int index, count;
    struct range heads, kv_heads, q, kv, ffn, vocab;
    int64_t kv_owned; /* first element of kv that no lower shard holds */
    int32_t *kv_of;   /* [local heads]: index of the local KV head that a local query head reads */
};

/* ERR_USAGE if count is not 1 .. heads; key names the job key in the text. Arrays come from the arena. */
int shard_make(struct shard *s, const struct model_config *c, int index, int count, const char *key, struct arena *a,
               struct err *e);

/* Which part of an adapted layer a parameter is. */
enum param_part { PART_BASE, PART_LORA_A, PART_LORA_B };

/* One tensor of one model on one shard. Local elements are rows x cols, row-major. */
struct param {
    const struct param_row *row;
    int layer; /* -1: not in a block */
    enum param_part part;
    const char *name; /* Hugging Face name, or PEFT's for an adapter part */
    int64_t global_rows, global_cols;
    struct range rows, cols;
    int64_t
        owned_first; /* local rows before this one are counted and written by a lower shard; = local rows: all are */
    bool trainable;
    int64_t offset;     /* in the trainable buffer; -1: frozen */
    const void *data;   /* local elements, borrowed or owned by the model's arena; NULL if packed does for all */
    const void *packed; /* by gemm_pack, in the model's arena, or NULL */
    enum dtype dtype;   /* F32 or BF16 */
};

static inline int64_t param_local_rows(const struct param *p)
{
    return p->rows.end - p->rows.first;
}
static inline int64_t param_local_cols(const struct param *p)
{
    return p->cols.end - p->cols.first;
}
static inline int64_t param_elements(const struct param *p)
{
    return param_local_rows(p) * param_local_cols(p);
}
struct matrix param_matrix(const struct param *p);

/* Whether some elements of the tensor are on several shards but each shard's gradient is only a part of theirs: shared
 * KV heads and their biases, the q and k norms. Their gradients are summed over shards. */
bool param_is_partial(const struct param *p, const struct shard *s);

/* Fills in everything but data, trainable and offset. */
void param_describe(struct param *p, const struct model_config *c, const struct shard *s, enum param_role role,
                    int layer, enum param_part part, int lora_rank, struct arena *a);

/* The shape as it stands in files: rank 1 for vectors, else 2. Returns the rank. */
int param_file_shape(const struct param *p, int64_t shape[2]);

#endif
