#include "kern/isa.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "kern/kernel.h"

static const char *const names[ISA_COUNT] = {
    [ISA_PLAIN] = "plain", [ISA_AVX2] = "avx2", [ISA_AVX512] = "avx512", [ISA_AVX512_BF16] = "avx512_bf16"};

/* --- the tables --- */

struct kernels {
#define X(result, name, parameters, arguments) result(*name) parameters;
    KERNELS(X)
#undef X
};

static const struct kernels tables[ISA_COUNT] = {
#define X(result, name, parameters, arguments) .name = name##_plain,
    [ISA_PLAIN] = {KERNELS(X)},
#undef X
#ifdef KERN_X86
#define X(result, name, parameters, arguments) .name = name##_avx2,
    [ISA_AVX2] = {KERNELS(X)},
#undef X
#define X(result, name, parameters, arguments) .name = name##_avx512,
    [ISA_AVX512] = {KERNELS(X)},
    [ISA_AVX512_BF16] = {KERNELS(X)},
#undef X
#endif
};

/* NULL until isa_use() or the first kernel. Several threads may come first together: all of them store the same value.
 */
static const struct kernels *used;

static const struct kernels *table(void)
{
    const struct kernels *t = __atomic_load_n(&used, __ATOMIC_ACQUIRE);
    if (__builtin_expect(!t, 0)) {
        isa_use(isa_best());
        t = used;
    }
    return t;
}

#define X(result, name, parameters, arguments) \
    result name parameters;                    \
    result name parameters                     \
    {                                          \
        return table()->name arguments;        \
    }
KERNELS(X)
#undef X

/* --- the choice --- */

/* x86-64-v3 and v4 as compilers define them. No CPU has AVX2, FMA and BMI2 without the rest of v3 (F16C, LZCNT, MOVBE),
 * for which compilers have no common name. */
static enum isa isa_of_cpu(void)
{
#ifdef KERN_X86
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2"))
        return ISA_PLAIN;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512cd") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl"))
        return ISA_AVX2;
    return __builtin_cpu_supports("avx512bf16") ? ISA_AVX512_BF16 : ISA_AVX512;
#else
    return ISA_PLAIN;
#endif
}

enum isa isa_best(void)
{
    enum isa cpu = isa_of_cpu();
    const char *cap = getenv("RETORT_ISA");
    if (!cap || !*cap)
        return cpu;
    for (enum isa isa = ISA_PLAIN; isa < ISA_COUNT; isa++)
        if (strcmp(cap, names[isa]) == 0)
            return isa < cpu ? isa : cpu;
    log_warning("environment variable RETORT_ISA is '%s'; it takes plain, avx2, avx512 or avx512_bf16: ignored", cap);
    return cpu;
}

void isa_use(enum isa isa)
{
    ASSERT(isa <= isa_of_cpu());
    __atomic_store_n(&used, &tables[isa], __ATOMIC_RELEASE);
}

enum isa isa_used(void)
{
    return (enum isa)(table() - tables);
}

const char *isa_name(enum isa isa)
{
    return names[isa];
}
