/* The instruction set that the kernels use. Chosen once at start: login and compute nodes differ, and all ranks of a
 * run must use the same one ("bit for bit" means: same ISA, same library versions; SEMANTICS). */
#ifndef RETORT_KERN_ISA_H
#define RETORT_KERN_ISA_H

/* AVX512_BF16 has the kernels of AVX512; the GEMM door multiplies bf16 with the CPU's own instructions there. */
enum isa { ISA_PLAIN, ISA_AVX2, ISA_AVX512, ISA_AVX512_BF16, ISA_COUNT };

/* The best that this CPU, this build and the environment variable RETORT_ISA (a name of isa_name(): a cap) allow. */
enum isa isa_best(void);

/* Makes every kernel and the GEMM door use isa (<= isa_best()). Call once, before the first kernel, from one thread, on
 * every rank with the lowest isa_best() of all ranks. Without a call the best one is used. */
void isa_use(enum isa isa);

enum isa isa_used(void);
const char *isa_name(enum isa isa); /* plain, avx2, avx512, avx512_bf16 */

#endif
