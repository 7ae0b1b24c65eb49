/* The files of tests/fmt/files, and the lists beside them. */
#ifndef RETORT_TESTS_FMT_FILES_H
#define RETORT_TESTS_FMT_FILES_H

#include <stddef.h>

#include "fmt/safetensors.h"

/* The path of a file there; mem_free it. */
char *test_file(const char *name);
/* Its bytes, terminated by a zero that size does not count; mem_free them. */
char *test_file_read(const char *name, size_t *size);

typedef const struct tensor *find_tensor(const void *container, const char *name);
/* Fails the test unless the container holds every tensor that the list names, with its type, shape and sum of bytes.
 * Returns how many there are. */
int check_tensor_list(const char *name, const void *container, find_tensor *find);

/* A copy of exactly this size, so that a sanitizer sees a read beyond it. mem_free it. */
void *exact_copy(const void *bytes, size_t size);

#endif
