/* The instruction set that the kernels use. Chosen once at start: login and compute nodes differ, and all ranks of a
 * run must use the same one ("bit for bit" means: same ISA, same library versions; SEMANTICS). */
#ifndef RETORT_KERN_ISA_H
#define RETORT_KERN_ISA_H

enum isa { ISA_PLAIN, ISA_AVX2, ISA_AVX512 };

/* The best that this CPU, this build and the environment variable RETORT_ISA (plain, avx2, avx512: a cap) allow. */
enum isa isa_best(void);

/* Makes every kernel and the GEMM door use isa (<= isa_best()). Call once, before the first kernel, from one thread, on
 * every rank with the lowest isa_best() of all ranks. Without a call the best one is used. */
void isa_use(enum isa isa);

enum isa isa_used(void);
const char *isa_name(enum isa isa);

#endif
