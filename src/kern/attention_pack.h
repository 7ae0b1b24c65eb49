/* How attention's operands become blocks of bf16. Private to the kernels.
 *
 * All operands are cut into blocks of 64 tokens by 64 values of a head (narrower heads are padded with zeros) and
 * packed as block_bf16.h takes them: what several items read (keys and values forward; queries and dout backward) once,
 * before the items begin, the rest by each item. Blocks begin with the document, so a document's results do not depend
 * on where it is packed; documents are taken together as far as the scratch reaches. */
#ifndef RETORT_KERN_ATTENTION_PACK_H
#define RETORT_KERN_ATTENTION_PACK_H

#include "base/assert.h"
#include "kern/attention_items.h"
#include "kern/block_bf16.h"
#include "kern/kernel.h"

_Static_assert((int)BLOCK == (int)BLOCK_EDGE, "an item is a row of blocks");
enum { ROW = BLOCKS_IN_ROW * BLOCK, SLICES = MOST_D / BLOCK, FORWARD_PACKS = 2, BACKWARD_PACKS = 4 };

static inline int slices_of(int D)
{
    return (D + BLOCK - 1) / BLOCK;
}

/* --- scratch --- */

static inline size_t bytes_a_block(int heads, int packs, int D)
{
    return (size_t)heads * packs * slices_of(D) * BLOCK_SIZE * sizeof(uint16_t);
}

/* Operands packed for all items, each [head][slice][block] of BLOCK_SIZE. */
struct packed {
    uint16_t *of[BACKWARD_PACKS];
    int64_t blocks; /* there is room for */
};

static inline struct packed packed_of(const struct attention_shape *s, int heads, int packs)
{
    struct packed p = {.blocks = (int64_t)(s->scratch_size / bytes_a_block(heads, packs, s->D))};
    for (int i = 0; i < packs; i++)
        p.of[i] = (uint16_t *)s->scratch + (size_t)i * heads * slices_of(s->D) * p.blocks * BLOCK_SIZE;
    return p;
}

static inline uint16_t *block_at(const struct packed *p, int operand, const struct attention_shape *s, int head,
                                 int slice, int64_t block)
{
    return p->of[operand] + (((int64_t)head * slices_of(s->D) + slice) * p->blocks + block) * BLOCK_SIZE;
}

/* The document behind the last one that fits beside `first`. */
static inline int documents_that_fit(const struct attention_shape *s, int first, int64_t room)
{
    int end = first;
    for (; end < s->documents; end++) {
        room -= ceil_div(s->start[end + 1] - s->start[end], BLOCK);
        if (room < 0)
            break;
    }
    ASSERT(end > first);
    return end;
}

/* --- packing one block --- */

/* [tokens, BLOCK values from d] of a head's rows x. */
struct source {
    const float *x;
    int64_t ld, tokens;
    int d, width;
};

static inline struct source source_of(const float *x, int64_t ld, int64_t tokens, int slice, int D)
{
    return (struct source){x, ld, tokens, slice * BLOCK, (int)min_i64(BLOCK, D - slice * BLOCK)};
}

/* Right sides: sums run over the values of a head, the columns are tokens; */
static inline void pack_over_values(uint16_t *to, struct source f)
{
    const struct operand o = {.data = f.x, .dtype = DTYPE_F32, .ld = f.ld};
    KERNEL(panel_pack_right)(to, DTYPE_BF16, BLOCK, BLOCK, &o, &(struct pack_part){0, f.tokens, f.d, f.width});
}

/* or the other way round. */
static inline void pack_over_tokens(uint16_t *to, struct source f)
{
    const struct operand o = {.data = f.x, .dtype = DTYPE_F32, .ld = f.ld, .by_inner = true};
    KERNEL(panel_pack_right)(to, DTYPE_BF16, BLOCK, BLOCK, &o, &(struct pack_part){f.d, f.width, 0, f.tokens});
}

/* Left sides: rows are tokens, */
static inline void pack_rows(uint16_t *to, struct source f)
{
    const struct operand o = {.data = f.x, .dtype = DTYPE_F32, .ld = f.ld};
    KERNEL(panel_pack_left)(to, DTYPE_BF16, BLOCK, BLOCK, &o, &(struct pack_part){0, f.tokens, f.d, f.width});
}

/* or columns of what is bf16 already: to[BLOCK, BLOCK] = from[BLOCK, ld]^T, columns from `first` on. */
static inline void pack_turned(uint16_t *to, const uint16_t *from, int64_t ld, int64_t first)
{
    const struct operand o = {.data = from, .dtype = DTYPE_BF16, .ld = ld, .by_inner = true};
    KERNEL(panel_pack_left)(to, DTYPE_BF16, BLOCK, BLOCK, &o, &(struct pack_part){first, BLOCK, 0, BLOCK});
}

#endif
