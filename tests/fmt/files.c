#include "files.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "test.h"

char *test_file(const char *name)
{
    return file_join(TEST_FILES, name);
}

char *test_file_read(const char *name, size_t *size)
{
    struct file_map map = {0};
    struct err e = {0};
    char *path = test_file(name);
    assert_done(file_map_open(&map, path, &e), &e);
    char *text = mem_alloc(map.size + 1);
    memcpy(text, map.data, map.size);
    *size = map.size;
    file_map_close(&map);
    mem_free(path);
    return text;
}

static void check_shape(const struct tensor *t, const char *shape)
{
    char text[128] = "scalar";
    size_t n = 0;
    for (int i = 0; i < t->rank; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%lld", i ? "x" : "", (long long)t->shape[i]);
    assert_string_equal(text, shape);
}

static void check_line(const char *line, const void *container, find_tensor *find)
{
    char name[64], type[16], shape[64];
    unsigned long long expected, sum = 0;
    assert_int_equal(sscanf(line, "%63s %15s %63s %llu", name, type, shape, &expected), 4);
    const struct tensor *t = find(container, name);
    if (!t)
        fail_msg("%s is missing", name);
    assert_string_equal(dtype_name(t->dtype), type);
    check_shape(t, shape);
    for (uint64_t i = 0; i < t->bytes; i++)
        sum += t->data[i];
    assert_int_equal(sum, expected);
}

int check_tensor_list(const char *name, const void *container, find_tensor *find)
{
    size_t size;
    char *text = test_file_read(name, &size);
    int count = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), count++)
        check_line(line, container, find);
    mem_free(text);
    return count;
}

void *exact_copy(const void *bytes, size_t size)
{
    void *copy = mem_alloc(size);
    memcpy(copy, bytes, size);
    return copy;
}
