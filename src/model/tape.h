/* The work space of a forward and a backward: what each block keeps for its backward, and scratch that all blocks
 * share. Blocks that keep nothing point at the same memory. Nothing is allocated once a tape exists. Private to
 * src/model. */
#ifndef RETORT_MODEL_TAPE_H
#define RETORT_MODEL_TAPE_H

#include "model/model.h"

/* The linear layers of a block in the order in which tapes keep their adapters' inner values. */
enum { LIN_Q, LIN_K, LIN_V, LIN_O, LIN_GATE, LIN_UP, LIN_DOWN, LIN_COUNT };

/* Local widths: Q, KV, F are this shard's; H its query heads. */
struct block_tape {
    float *x_in, *x_mid;     /* [T, hidden]: the residual stream before attention and before the MLP */
    float *r_attn, *r_mlp;   /* [T]: 1/rms */
    float *q_raw, *k_raw;    /* [T, Q], [T, KV]: before the q and k norms; q, k themselves where there are none */
    float *r_q, *r_k;        /* [T, H], [T, KV heads] */
    float *q, *k, *v;        /* [T, Q], [T, KV], [T, KV]: after rotation */
    float *attn, *lse;       /* [T, Q], [H, T] */
    float *gate, *up;        /* [T, F] */
    float *inner[LIN_COUNT]; /* [T, r]: scale * A x of each adapted layer */
    uint16_t *saved;         /* where the model computes in bf16: q_raw to up, which then are scratch, until backward */
};

struct tape {
    const struct model *m;
    int64_t T; /* room */
    int kept;  /* blocks whose activations stay for a backward; the blocks before the last `kept` share memory */
    struct block_tape *blocks;
    float *x; /* [T, hidden]: the residual stream after the last block */

    struct tape *halves;   /* [2]: views of this one, of which each computes a part of a batch (halves.h); NULL: none */
    int half;              /* of a view: which of the two; of a whole tape 0 */
    int64_t first;         /* its row 0 is this row of what it views */
    int32_t *halves_start; /* [T + 3]: where the documents of both halves start */

    /* scratch */
    float *n;                            /* [T, hidden]: a normed input */
    float *h;                            /* [T, F]: the MLP's inner activation */
    float *sum;                          /* [T, hidden + adapters' columns]: what is summed over shards */
    float *dropped;                      /* [T, widest input]: an adapter's input after dropout */
    float *rows, *r_rows;                /* [T, hidden], [T]: gathered rows of the final norm */
    float *dx;                           /* [T, hidden]: gradient of the residual stream */
    float *dq, *dk, *dv, *dattn, *delta; /* attention backward */
    void *attention;                     /* the scratch of attention, of so many bytes; NULL: it needs none */
    size_t attention_size;
    float *dh;         /* [T, F] */
    float *dinner;     /* [T, r] */
    int32_t *position; /* [T]: of decode */

    struct arena arena;
};

/* Elements from one token to the next in tape.sum, for a group of layers that share one sum: hidden + their ranks. */
int64_t tape_sum_width(const struct model *m);

/* Local. Of a training tape whose model computes in bf16: what block `layer` has just computed for `tokens` tokens goes
 * where it is saved, and comes back. Otherwise it stays where it is. */
void tape_save(struct tape *t, int layer, int64_t tokens);
void tape_load(struct tape *t, int layer, int64_t tokens);

/* Where the output of block `layer` goes: the next block's x_in, or the tape's x. */
float *tape_output(const struct tape *t, int layer);

#endif
