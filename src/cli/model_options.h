/* The options that every command with a model shares. */
#ifndef RETORT_CLI_MODEL_OPTIONS_H
#define RETORT_CLI_MODEL_OPTIONS_H

#include "kern/gemm.h"

/* "f32", "bf16": as option choices; their index is no enum precision by accident, so it goes through model_precision.
 */
extern const char *const precision_names[];
enum precision model_precision(int choice);

/* "f32", "bf16", "f16". */
extern const char *const dtype_names[];
enum dtype model_dtype(int choice);

#endif
