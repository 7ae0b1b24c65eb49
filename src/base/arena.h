/* An arena: many allocations, one release. For what lives as long as its owner: a parsed file, a model's weights.
 *
 * Blocks are 64-byte aligned and zeroed. Nothing is freed alone. */
#ifndef RETORT_BASE_ARENA_H
#define RETORT_BASE_ARENA_H

#include <stddef.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* newest first */
    size_t bytes;               /* handed out so far: what a log line or a memory plan reports */
};

void arena_init(struct arena *a);
void arena_release(struct arena *a); /* everything; the arena may be used again */

/* NULL if the system has no more: the caller says what the memory was for. */
void *arena_try(struct arena *a, size_t count, size_t size);

/* Never NULL (mem.h says what happens instead). */
void *arena_alloc(struct arena *a, size_t count, size_t size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n); /* s need not be terminated */
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
