#include "cli/model_options.h"

#include <stddef.h>

const char *const precision_names[] = {"f32", "bf16", NULL};

enum precision model_precision(int choice)
{
    return choice ? PRECISION_BF16 : PRECISION_F32;
}

const char *const dtype_names[] = {"f32", "bf16", "f16", NULL};

enum dtype model_dtype(int choice)
{
    static const enum dtype types[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};
    return types[choice];
}
