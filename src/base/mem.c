#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static void exhausted_default(size_t wanted)
{
    fprintf(stderr, "retort: out of memory: %zu bytes could not be allocated\n", wanted);
    _exit(4);
}

static void (*exhausted)(size_t) = exhausted_default;

void mem_set_exhausted(void (*hook)(size_t))
{
    exhausted = hook;
}

void mem_exhausted(size_t wanted)
{
    exhausted(wanted);
    abort(); /* the hook broke its promise */
}

static void *checked(void *p, size_t size)
{
    if (!p)
        mem_exhausted(size);
    return p;
}

void *mem_alloc(size_t size)
{
    return checked(calloc(1, size ? size : 1), size);
}

void *mem_array(size_t count, size_t size)
{
    return checked(calloc(count ? count : 1, size ? size : 1), count * size);
}

void *mem_resize(void *p, size_t count, size_t size)
{
    return checked(reallocarray(p, count ? count : 1, size ? size : 1), count * size);
}

char *mem_strdup(const char *s)
{
    return checked(strdup(s), strlen(s) + 1);
}

char *mem_printf(const char *format, ...)
{
    char *s = NULL;
    va_list ap;
    va_start(ap, format);
    int n = vasprintf(&s, format, ap);
    va_end(ap);
    return checked(n < 0 ? NULL : s, n < 0 ? 0 : (size_t)n + 1);
}

void mem_free(void *p)
{
    free(p);
}

size_t mem_peak(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (size_t)use.ru_maxrss * 1024;
}

static size_t reserved;

size_t mem_reserved(void)
{
    return __atomic_load_n(&reserved, __ATOMIC_RELAXED);
}

/* Anonymous maps: zeroed by the kernel only when touched, given back whole, and a limit on memory shows here as NULL.
 */
void *mem_try(size_t size)
{
    if (!size)
        size = 1;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    __atomic_add_fetch(&reserved, size, __ATOMIC_RELAXED);
    if (size >= (size_t)4 << 20)
        madvise(p, size, MADV_HUGEPAGE);
    return p;
}

void mem_free_large(void *p, size_t size)
{
    if (!p)
        return;
    size = size ? size : 1;
    munmap(p, size);
    __atomic_sub_fetch(&reserved, size, __ATOMIC_RELAXED);
}
