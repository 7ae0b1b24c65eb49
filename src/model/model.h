/* A model on the ranks that hold its shards: weights, adapters, and the work space of a forward and a backward.
 *
 * Config, weights and state are three things: the config is immutable, weights are const pointers that the model's
 * arena or a file map owns, state (activations) belongs to struct tape. Every function that takes a model with more
 * than one shard is collective over its shards, in the same order; a hang means that one shard took another path.
 *
 * T tokens of a batch lie one behind the other, cut into documents; attention never crosses a document's start and
 * positions restart there. The residual stream is f32 and whole on every shard. */
#ifndef RETORT_MODEL_MODEL_H
#define RETORT_MODEL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "fmt/model_files.h"
#include "kern/gemm.h"
#include "model/params.h"
#include "par/comm.h"

/* A trainable low-rank addition to one linear layer: y += scale * B (A dropout(x)), scale = alpha / r or alpha /
 * sqrt(r). */
struct lora {
    struct param *a, *b; /* [r, in], [out, r] */
    int rank;
    float scale;
};

/* A linear layer of a block, bound once. */
struct linear {
    struct param *w, *bias; /* bias NULL: none */
    struct lora *lora;      /* NULL: no adapter */
};

struct layer {
    struct param *attn_norm, *q_norm, *k_norm, *mlp_norm; /* q_norm, k_norm NULL: none */
    struct linear q, k, v, o, gate, up, down;
};

struct model_options {
    enum precision precision;
    bool forward_only; /* no gradient is asked for, and no element of a matrix: they may lie as the GEMM likes them */
    bool train_base;   /* method full: every base parameter is trainable */
    struct adapter_config adapter; /* rank 0: none; copied by model_open */
    bool train_adapter;            /* its parts are trainable */
    float dropout;                 /* on the adapter's input, only while training */
    const int *keep;               /* [keep_count]: the file's blocks that make up this model; NULL: all (prune) */
    int keep_count;
    bool random;       /* path gives a config alone, weights are drawn (random.h) */
    int64_t positions; /* longest document that will be asked for: size of the rotary tables */
};

struct model {
    struct model_config config;
    struct model_options options;
    struct shard shard;
    struct comm shards; /* borrowed: the tensor-parallel ranks of this replica's stage */
    struct param *params;
    int param_count;
    struct layer *layers;
    struct param *embed, *norm, *head; /* head is embed where they are tied */
    float *cos_table, *sin_table;

    /* The trainable parameters of this shard in one buffer: the head first, then blocks from the last to the first, the
     * embedding last, which is the order in which a backward finishes their gradients. */
    float *trainable, *gradient; /* NULL: nothing is trained */
    int64_t trainable_count;
    float *partial; /* scratch of partial.c */

    struct arena arena;
    struct model_files *files; /* keeps borrowed weights mapped; owned */
};

/* Collective over shards. Opens path, checks every tensor's shape and that every weight is finite, and holds this shard
 * of it. key: the job key that names the model, for errors ("teacher.model"). */
int model_open(struct model **out, const char *path, const struct model_options *options, const struct comm *shards,
               const char *key, struct err *e);
void model_close(struct model *m);

/* Local. Fresh adapter parameters: A uniform in +-1/sqrt(in) (Kaiming, a = sqrt 5, as PEFT), B zero; keyed by (seed,
 * tensor name, global element), so that every layout starts alike. */
void model_init_adapter(struct model *m, uint64_t seed);
/* Collective over shards. Reads adapter_model.safetensors of a PEFT directory into the adapter's parameters. */
int model_load_adapter(struct model *m, const char *directory, struct err *e);

/* Bytes of weights that this rank holds (mapped ones counted, too), and elements of the whole model. */
int64_t model_weight_bytes(const struct model *m);
int64_t model_parameters(const struct model *m);

/* --- a batch --- */

struct batch {
    int64_t T;
    int documents;
    const uint32_t *ids;     /* [T] */
    const int32_t *position; /* [T]: from 0 at every document's start */
    const int32_t *start;    /* [documents + 1] */
    const uint64_t
        *place;           /* [T]: key of dropout: (place of the sequence in the step) << 32 | token; NULL: no dropout */
    uint64_t dropout_key; /* (seed, step) */
    bool last;            /* the last batch of its step on this rank: partial gradients are summed over shards */
};

/* Activations. A tape for inference has memory for those of one block, which all blocks use. One for training keeps
 * those of the last `kept` blocks (1 .. layers); of the blocks before them it keeps the input alone, and a backward
 * computes the rest again, to the same bits. */
struct tape;
enum { TAPE_INFERENCE = 0 };
/* ERR_ENVIRONMENT if memory is short. T: most tokens of a batch. */
struct tape *tape_new(const struct model *m, int64_t T, int kept, struct err *e);
void tape_free(struct tape *t);
/* Bytes of such a tape. */
size_t tape_bytes(const struct model *m, int64_t T, int kept);

/* Collective over shards. Runs all blocks; the residual stream after the last one stays in the tape. */
void model_forward(const struct model *m, struct tape *t, const struct batch *b);

/* h[n, hidden] = final norm of the residual stream at the given rows (the label positions). */
void model_final_norm(const struct model *m, struct tape *t, const int32_t *rows, int64_t n, float *h);

/* How many rows of logits to hold at once: at most n, of a bounded size, as many on every shard. */
int64_t model_logit_rows(const struct model *m, int64_t n);

/* logits[n, local vocabulary] = h W^T. */
void model_logits(const struct model *m, const float *h, int64_t n, float *logits);

/* dh[n, hidden] = dlogits W, this shard's part (the caller sums it over shards), and the head's gradient += dlogits^T h
 * if it is trained. */
void model_logits_backward(const struct model *m, float *dh, const float *dlogits, const float *h, int64_t n);

/* Collective over shards. Given dh[n, hidden] (whole, equal on all shards) at the rows of model_final_norm, accumulates
 * the gradients of all trainable parameters. With b->last, gradients of which each shard has only a part (shared KV
 * heads, q and k norms) are summed over shards, and done(context, end) is called, if not NULL, whenever all gradients
 * at offsets below `end` are final, so that a caller can reduce them while the rest runs. */
void model_backward(const struct model *m, struct tape *t, const struct batch *b, const int32_t *rows, int64_t n,
                    const float *dh, void (*done)(void *context, int64_t end), void *context);

/* --- one token at a time --- */

struct kv_cache;
struct kv_cache *kv_cache_new(const struct model *m, int64_t positions, struct err *e);
void kv_cache_free(struct kv_cache *c);

/* Collective over shards. Appends ids[n] to the cached document and gives the logits[local vocabulary] after the last
 * one. The tape must have room for n tokens. */
void model_decode(const struct model *m, struct tape *t, struct kv_cache *c, const uint32_t *ids, int64_t n,
                  float *logits);

#endif
