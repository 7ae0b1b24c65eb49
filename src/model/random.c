#include "model/random.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/rng.h"
#include "kern/op_linear.h"
#include "model/load.h"

enum { VALUES_PER_BLOCK = 8 }; /* 16 random bits each */

static void fill_row(float *x, int64_t n, uint64_t key, uint64_t row, float bound)
{
    for (int64_t j = 0; j < n; j += VALUES_PER_BLOCK) {
        struct rng_block block = rng_philox(key, (uint64_t)j, row);
        for (int i = 0; i < VALUES_PER_BLOCK && j + i < n; i++) {
            uint32_t bits = block.v[i / 2] >> (i % 2 ? 16 : 0) & 0xFFFF;
            x[j + i] = ((float)bits / 32768.0f - 1) * bound;
        }
    }
}

static void fill_matrix(struct param *p, void *to, float *row)
{
    const uint64_t key = hash64(p->name, strlen(p->name));
    const float bound = sqrtf(3 / (float)p->global_cols);
    const int64_t n = param_local_cols(p);
    for (int64_t i = 0; i < param_local_rows(p); i++) {
        fill_row(row, n, key, (uint64_t)(p->rows.first + i), bound);
        param_store_row(p, to, i, row);
    }
}

static void fill_vector(const struct param *p, float *to)
{
    const bool gain = strstr(p->name, "norm") != NULL;
    for (int64_t i = 0; i < param_elements(p); i++)
        to[i] = gain ? 1 : 0;
}

static int fill(struct model *m, struct param *p, struct param_room *room, float *row, struct err *e)
{
    void *to = param_memory(m, p, room, e);
    if (!to)
        return -1;
    if (p->row->cols == DIM_ONE)
        fill_vector(p, to);
    else
        fill_matrix(p, to, row);
    return param_keep(m, p, to, e);
}

int model_fill_random(struct model *m, struct err *e)
{
    int64_t widest = 1;
    for (int i = 0; i < m->param_count; i++)
        widest = param_local_cols(&m->params[i]) > widest ? param_local_cols(&m->params[i]) : widest;
    float *row = arena_alloc(&m->arena, (size_t)widest, sizeof *row);
    struct param_room room = {0};
    int rc = 0;
    for (int i = 0; i < m->param_count && !rc; i++)
        if (m->params[i].part == PART_BASE)
            rc = fill(m, &m->params[i], &room, row, e);
    param_room_release(&room);
    return rc;
}
