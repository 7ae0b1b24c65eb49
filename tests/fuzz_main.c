/* Runs a fuzz target, LLVMFuzzerTestOneInput, as an ordinary test: seed files, then N mutations of them, the same ones
 * every time. No coverage feedback; a build with RETORT_FUZZ=ON links the same targets with libFuzzer instead of this
 * file.
 *
 *     fuzz_x [--runs N] [--only RUN] [--trace] SEED...
 *
 * Run i depends on i and the seeds alone. After a crash, --trace tells which run it was, and --only repeats it. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct input {
    unsigned char *bytes; /* owned */
    size_t size;
};

static struct input input_copy(const void *bytes, size_t size)
{
    struct input in = {mem_alloc(size), size};
    memcpy(in.bytes, bytes, size);
    return in;
}

/* Replaces the n bytes at `at` by others. Every input is an allocation of its exact size: a sanitizer sees one byte too
 * far. */
static void replace(struct input *in, size_t at, size_t n, const void *with, size_t with_size)
{
    struct input out = {mem_alloc(in->size - n + with_size), in->size - n + with_size};
    memcpy(out.bytes, in->bytes, at);
    memcpy(out.bytes + at, with, with_size);
    memcpy(out.bytes + at + with_size, in->bytes + at + n, in->size - at - n);
    mem_free(in->bytes);
    *in = out;
}

static void flip_bit(struct input *in, struct rng *r)
{
    if (in->size)
        in->bytes[rng_below(r, in->size)] ^= (unsigned char)(1u << rng_below(r, 8));
}

static void set_byte(struct input *in, struct rng *r)
{
    if (in->size)
        in->bytes[rng_below(r, in->size)] = (unsigned char)rng_u32(r);
}

/* The integers at which readers break, in 1, 2, 4 or 8 bytes, at any place. */
static void set_extreme(struct input *in, struct rng *r)
{
    const uint64_t extremes[] = {0,           1,
                                 0x7f,        0x80,
                                 0xff,        0x7fff,
                                 0xffff,      INT32_MAX,
                                 UINT32_MAX,  (uint64_t)UINT32_MAX + 1,
                                 INT64_MAX,   (uint64_t)INT64_MAX + 1,
                                 UINT64_MAX,  UINT64_MAX - 7,
                                 in->size,    in->size - 1,
                                 in->size + 1};
    uint64_t v = extremes[rng_below(r, sizeof extremes / sizeof extremes[0])];
    size_t width = (size_t)1 << rng_below(r, 4);
    if (in->size >= width)
        memcpy(in->bytes + rng_below(r, in->size - width + 1), &v, width);
}

/* The same for numbers that are written as text. */
static void set_number(struct input *in, struct rng *r)
{
    static const char *const extremes[] = {"0",
                                           "-1",
                                           "1",
                                           "2147483648",
                                           "4294967296",
                                           "9223372036854775807",
                                           "1e308",
                                           "9223372036854775808",
                                           "18446744073709551616",
                                           "0.5",
                                           "null",
                                           "true",
                                           "\"x\"",
                                           "[]",
                                           "{}"};
    if (!in->size)
        return;
    size_t at = rng_below(r, in->size), end;
    while (at < in->size && (in->bytes[at] < '0' || in->bytes[at] > '9'))
        at++;
    for (end = at; end < in->size && in->bytes[end] >= '0' && in->bytes[end] <= '9'; end++)
        ;
    const char *with = extremes[rng_below(r, sizeof extremes / sizeof extremes[0])];
    if (end > at)
        replace(in, at, end - at, with, strlen(with));
}

static void cut(struct input *in, struct rng *r)
{
    size_t size = rng_below(r, in->size + 1);
    replace(in, size, in->size - size, "", 0);
}

static void remove_range(struct input *in, struct rng *r)
{
    size_t at = rng_below(r, in->size + 1), n = rng_below(r, in->size - at + 1);
    replace(in, at, n > 16 ? n % 16 : n, "", 0);
}

/* A piece of another seed, or of this one, put in or laid over. */
static void splice(struct input *in, struct rng *r, const struct input *other)
{
    size_t from = rng_below(r, other->size + 1), n = rng_below(r, other->size - from + 1) % 257;
    size_t at = rng_below(r, in->size + 1);
    size_t over = rng_below(r, 2) && n <= in->size - at ? n : 0;
    replace(in, at, over, other->bytes + from, n);
}

static struct input mutate(const struct input *seeds, int count, uint64_t run)
{
    struct rng r;
    rng_init(&r, run, 0);
    const struct input *seed = &seeds[rng_below(&r, (uint64_t)count)];
    struct input in = input_copy(seed->bytes, seed->size);
    for (uint64_t left = 1 + rng_below(&r, 6); left; left--) {
        switch (rng_below(&r, 16)) {
        case 0:
            cut(&in, &r);
            break;
        case 1:
        case 2:
            remove_range(&in, &r);
            break;
        case 3:
        case 4:
            splice(&in, &r, &seeds[rng_below(&r, (uint64_t)count)]);
            break;
        case 5:
        case 6:
        case 7:
            flip_bit(&in, &r);
            break;
        case 8:
        case 9:
            set_byte(&in, &r);
            break;
        case 10:
        case 11:
        case 12:
            set_number(&in, &r);
            break;
        default:
            set_extreme(&in, &r);
        }
    }
    return in;
}

static struct input read_seed(const char *path)
{
    struct file_map map = {0};
    struct err e = {0};
    if (file_map_open(&map, path, &e)) {
        fprintf(stderr, "%s\n", e.text);
        exit(2);
    }
    struct input in = input_copy(map.data, map.size);
    file_map_close(&map);
    return in;
}

static void run_mutations(const struct input *seeds, int count, uint64_t first, uint64_t end, bool trace)
{
    for (uint64_t run = first; run < end; run++) {
        if (trace)
            fprintf(stderr, "run %llu\n", (unsigned long long)run);
        struct input in = mutate(seeds, count, run);
        LLVMFuzzerTestOneInput(in.bytes, in.size);
        mem_free(in.bytes);
    }
}

int main(int argc, char **argv)
{
    uint64_t first = 0, end = 1000;
    bool trace = false;
    struct input *seeds = mem_array((size_t)argc, sizeof *seeds);
    int count = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--trace")) {
            trace = true;
        } else if (!strcmp(argv[i], "--runs") && i + 1 < argc) {
            end = strtoull(argv[++i], NULL, 10);
        } else if (!strcmp(argv[i], "--only") && i + 1 < argc) {
            first = strtoull(argv[++i], NULL, 10);
            end = first + 1;
        } else {
            seeds[count++] = read_seed(argv[i]);
        }
    }
    for (int i = 0; i < count; i++)
        LLVMFuzzerTestOneInput(seeds[i].bytes, seeds[i].size);
    if (!count)
        seeds[count++] = input_copy("", 0);
    run_mutations(seeds, count, first, end, trace);
    printf("%d seeds, %llu runs\n", count, (unsigned long long)(end - first));
    for (int i = 0; i < count; i++)
        mem_free(seeds[i].bytes);
    mem_free(seeds);
    return 0;
}
