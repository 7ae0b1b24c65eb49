/* Bounds and the last check that both readers of a config share. */
#ifndef RETORT_FMT_CONFIG_INTERNAL_H
#define RETORT_FMT_CONFIG_INTERNAL_H

#include "fmt/config.h"

/* Well above every published model, and small enough that no product of two overflows. */
enum {
    CONFIG_VOCAB_MAX = 1 << 24,
    CONFIG_HIDDEN_MAX = 1 << 17,
    CONFIG_MLP_MAX = 1 << 20,
    CONFIG_LAYERS_MAX = 1024,
    CONFIG_HEADS_MAX = 1024,
    CONFIG_HEAD_DIM_MAX = 256,
    CONFIG_POSITIONS_MAX = 1 << 30,
    CONFIG_TOKEN_MAX = 1 << 24
};
#define CONFIG_EPS_MIN 1e-12
#define CONFIG_EPS_MAX 1.0
#define CONFIG_THETA_MIN 1.0
#define CONFIG_THETA_MAX 1e12
#define CONFIG_FACTOR_MAX 65536.0

/* What depends on several fields; fills in head_dim if it is 0. */
int model_config_check(struct model_config *c, const char *path, struct err *e);

#endif
