/* model_maker DIR [--family llama] [--layers N] ... [--nan-in TENSOR]: model_maker.h as a program, for tests that are
 * scripts. */
#include "model_maker.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: model_maker DIR [--family llama|mistral|qwen2|qwen3] [--layers N] [--hidden N] [--heads N] [--kv-heads N]\n"
    "                   [--head-dim N] [--ffn N] [--vocab N] [--positions N] [--window N] [--tied] [--llama3-factor "
    "X]\n"
    "                   [--seed N] [--dtype f32|bf16|f16] [--nan-in TENSOR]\n";

enum option_id {
    FAMILY,
    LAYERS,
    HIDDEN,
    HEADS,
    KV_HEADS,
    HEAD_DIM,
    FFN,
    VOCAB,
    POSITIONS,
    WINDOW,
    TIED,
    LLAMA3,
    SEED,
    DTYPE,
    NAN_IN
};
static const struct option options[] = {
    {"family", required_argument, NULL, FAMILY},
    {"layers", required_argument, NULL, LAYERS},
    {"hidden", required_argument, NULL, HIDDEN},
    {"heads", required_argument, NULL, HEADS},
    {"kv-heads", required_argument, NULL, KV_HEADS},
    {"head-dim", required_argument, NULL, HEAD_DIM},
    {"ffn", required_argument, NULL, FFN},
    {"vocab", required_argument, NULL, VOCAB},
    {"positions", required_argument, NULL, POSITIONS},
    {"window", required_argument, NULL, WINDOW},
    {"tied", no_argument, NULL, TIED},
    {"llama3-factor", required_argument, NULL, LLAMA3},
    {"seed", required_argument, NULL, SEED},
    {"dtype", required_argument, NULL, DTYPE},
    {"nan-in", required_argument, NULL, NAN_IN},
    {NULL, 0, NULL, 0},
};

struct order {
    const char *family, *directory, *nan_in;
    struct model_config config;
    uint64_t seed;
    enum dtype dtype;
};

static _Noreturn void refuse(void)
{
    fputs(usage, stderr);
    exit(2);
}

static int64_t number(const char *text)
{
    char *end;
    long long v = strtoll(text, &end, 10);
    if (*end || end == text || v < 0)
        refuse();
    return v;
}

static enum dtype dtype_named(const char *name)
{
    if (!strcmp(name, "f32"))
        return DTYPE_F32;
    if (!strcmp(name, "bf16"))
        return DTYPE_BF16;
    if (!strcmp(name, "f16"))
        return DTYPE_F16;
    refuse();
}

static void set_llama3(struct model_config *c, const char *factor)
{
    c->rope_type = ROPE_LLAMA3;
    c->rope_factor = atof(factor);
    c->rope_low_freq_factor = 1;
    c->rope_high_freq_factor = 4;
    c->rope_original_max_positions = 64; /* small, so that short tests see all three bands */
}

static void set(struct order *o, int option, const char *value)
{
    struct model_config *c = &o->config;
    switch (option) {
    case FAMILY:
        break; /* read before the others */
    case LAYERS:
        c->layers = (int)number(value);
        break;
    case HIDDEN:
        c->hidden_size = number(value);
        break;
    case HEADS:
        c->heads = (int)number(value);
        break;
    case KV_HEADS:
        c->kv_heads = (int)number(value);
        break;
    case HEAD_DIM:
        c->head_dim = (int)number(value);
        break;
    case FFN:
        c->intermediate_size = number(value);
        break;
    case VOCAB:
        c->vocab_size = number(value);
        break;
    case POSITIONS:
        c->max_positions = number(value);
        break;
    case WINDOW:
        c->sliding_window = number(value);
        break;
    case TIED:
        c->tie_word_embeddings = true;
        break;
    case LLAMA3:
        set_llama3(c, value);
        break;
    case SEED:
        o->seed = (uint64_t)number(value);
        break;
    case DTYPE:
        o->dtype = dtype_named(value);
        break;
    case NAN_IN:
        o->nan_in = value;
        break;
    default:
        refuse();
    }
}

static void choose_family(struct order *o, int argc, char **argv)
{
    const char *name = "llama";
    int option, count, known = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (option == FAMILY)
            name = optarg;
    const struct model_family *families = model_families(&count);
    for (int i = 0; i < count; i++)
        known += !strcmp(families[i].model_type, name);
    if (!known)
        refuse();
    model_maker_config(&o->config, name);
    optind = 1;
}

int main(int argc, char **argv)
{
    struct order o = {.seed = 1, .dtype = DTYPE_F32};
    struct err e = {0};
    choose_family(&o, argc, argv);
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        set(&o, option, optarg);
    if (optind != argc - 1)
        refuse();
    o.directory = argv[optind];
    if (model_maker_write(o.directory, &o.config, o.seed, o.dtype, &e) ||
        (o.nan_in && model_maker_spoil(o.directory, o.nan_in, &e))) {
        fprintf(stderr, "model_maker: %s\n", e.text);
        return (int)e.code;
    }
    return 0;
}
