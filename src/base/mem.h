/* Memory. Small things come from mem_*: they do not return NULL; when the system has no more, the process ends with one
 * line and exit status 4 through the hook that the program set. Large things (weights, activations) come from an arena
 * or mem_try, which fail softly, so that the error can name what was wanted and every rank can be told. */
#ifndef RETORT_BASE_MEM_H
#define RETORT_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

void *mem_alloc(size_t size);               /* zeroed */
void *mem_array(size_t count, size_t size); /* zeroed; the product is checked */
void *mem_resize(void *p, size_t count, size_t size);
char *mem_strdup(const char *s);
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void mem_free(void *p); /* takes NULL; for every mem_ function above */

/* Called once with the bytes that could not be had; must not return. Default: a line on stderr and _exit(4). */
void mem_set_exhausted(void (*hook)(size_t wanted));
_Noreturn void mem_exhausted(size_t wanted);

/* The most memory that this process has had in use so far, file maps that were touched included. */
size_t mem_peak(void);

/* 64-byte aligned, zeroed, or NULL. Freed by mem_free_large with the same size. */
void *mem_try(size_t size);
void mem_free_large(void *p, size_t size);

/* Bytes that mem_try (and so every arena) has given out and not taken back, touched or not: what a plan of memory adds
 * to. */
size_t mem_reserved(void);

#endif
