/* Records into a label store and out again: what appending reaches, every record checked and the file sealed, beside
 * what the same disk takes of the same bytes written plainly, by turns; and what reading at random reaches, found and
 * decoded (from the system's memory, as a job finds what it has prefetched). Each rank is a writer and a reader of its
 * own. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "job/bench_pass.h"
#include "label/record.h"
#include "label/store.h"
#include "par/agree.h"

/* A label of `sampled` 0.02 as FACTS has measured it: 5 ids by name, 15 drawn. */
enum { VOCABULARY = 128256, HEAD = 5, TAIL = 15 };
static const double tau = 0.02, tail_mass = 0.29; /* TAIL - 1/2 times tau: TAIL ids are drawn */
static const float head_p[HEAD] = {0.51f, 0.1f, 0.05f, 0.03f, 0.02f};

enum { RECORDS = 128, BYTES = 256 << 20, SYNC_EVERY = 16 << 20, READS = 1024, CHUNK = 1 << 20 };

struct store_run {
    const struct comm *world;
    const struct bench_options *o;
    struct store_description description;
    char *directory;
    void *records[RECORDS];
    size_t sizes[RECORDS];
    int64_t appended;    /* bytes of this rank in each run */
    double write, plain; /* seconds of the median run */
    double read;         /* of all reads of the slowest rank, without opening the store */
};

/* --- records --- */

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void draw_ids(struct rng *r, uint32_t *ids, int count)
{
    for (int i = 0; i < count; i++)
        ids[i] = (uint32_t)rng_below(r, VOCABULARY - HEAD);
    qsort(ids, (size_t)count, sizeof *ids, ascending);
}

static void add_label(struct record_writer *w, struct rng *r, int position)
{
    uint32_t head[HEAD], tail[TAIL];
    const uint16_t q = record_tail_quantise(tail_mass);
    draw_ids(r, head, HEAD);
    for (int i = 0; i < HEAD; i++)
        head[i] += (uint32_t)i; /* no id twice */
    draw_ids(r, tail, TAIL);
    record_writer_add(w, &(struct label_entries){.position = position,
                                                 .head_count = HEAD,
                                                 .tail_count = record_tail_draws(q, tau),
                                                 .head_ids = head,
                                                 .head_p = head_p,
                                                 .tail_ids = tail,
                                                 .tail_mass = (float)tail_mass,
                                                 .tail_q = q,
                                                 .entropy = (float)(6 * rng_uniform(r))});
}

static void make_records(struct store_run *r)
{
    struct record_writer *w = record_writer_new(&r->description.label);
    for (int i = 0; i < RECORDS; i++) {
        const uint64_t id = (uint64_t)(r->world->rank * RECORDS + i);
        struct rng draws;
        rng_init(&draws, id, 0);
        record_writer_begin(w, id, id, r->o->sequence_length);
        for (int k = 0; k < r->o->sequence_length; k++)
            add_label(w, &draws, k);
        r->records[i] = record_writer_finish(w, &r->sizes[i]);
    }
    record_writer_free(w);
    while (r->appended < BYTES)
        for (int i = 0; i < RECORDS; i++)
            r->appended += (int64_t)r->sizes[i];
}

/* --- writing --- */

static int append_all(struct store_run *r, struct store_append *a, struct err *e)
{
    int64_t since = 0;
    for (int64_t bytes = 0, i = 0; bytes < r->appended; i = (i + 1) % RECORDS) {
        if (store_append(a, r->records[i], r->sizes[i], e))
            return -1;
        bytes += (int64_t)r->sizes[i];
        since += (int64_t)r->sizes[i];
        if (since >= SYNC_EVERY && store_append_sync(a, e))
            return -1;
        since = since >= SYNC_EVERY ? 0 : since;
    }
    return store_append_seal(a, e);
}

static int write_store(struct store_run *r, struct err *e)
{
    struct store_append *a;
    int generation;
    if (store_join(r->directory, "retort bench store", &generation, e) ||
        store_append_new(&a, r->directory, generation, r->world->rank, "retort bench store", STORE_FILE_MOST, e))
        return -1;
    const int rc = append_all(r, a, e);
    store_append_free(a);
    return rc;
}

static int write_chunks(const struct store_run *r, int fd, const char *path, const void *chunk, struct err *e)
{
    for (int64_t at = 0; at < r->appended; at += CHUNK) {
        if (file_write_at(fd, path, chunk, CHUNK, (uint64_t)at, e))
            return -1;
        if ((at + CHUNK) % SYNC_EVERY == 0 && fdatasync(fd))
            return err_errno(e, "%s: cannot be written to the disk", path);
    }
    return fdatasync(fd) ? err_errno(e, "%s: cannot be written to the disk", path) : 0;
}

/* As many bytes, as often on the disk, and nothing else. */
static int write_plain(struct store_run *r, struct err *e)
{
    char *path = mem_printf("%s/plain-%d", r->directory, r->world->rank);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    void *chunk = mem_alloc(CHUNK);
    for (size_t i = 0, at = 0; i < RECORDS && at + r->sizes[i] <= CHUNK; at += r->sizes[i++])
        memcpy((char *)chunk + at, r->records[i], r->sizes[i]);
    const int rc = fd < 0 ? err_errno(e, "%s: cannot be made", path) : write_chunks(r, fd, path, chunk, e);
    if (fd >= 0)
        close(fd);
    mem_free(chunk);
    mem_free(path);
    return rc;
}

/* --- reading --- */

static int read_random(struct store_run *r, struct err *e)
{
    struct store *s;
    struct rng draws;
    if (store_open(&s, r->directory, e))
        return -1;
    rng_init(&draws, (uint64_t)r->world->rank, 1);
    int rc = 0;
    const double began = clock_seconds();
    for (int i = 0; i < READS && !rc; i++) {
        const uint64_t id = rng_below(&draws, (uint64_t)store_count(s));
        struct label_set set;
        size_t size;
        const void *record = store_find(s, id, &size);
        rc = record_decode(record, size, &r->description.label, id, id, VOCABULARY, &set, e);
        if (!rc)
            label_set_release(&set);
    }
    r->read = clock_seconds() - began;
    store_close(s);
    return rc;
}

/* --- runs --- */

/* Collective. Seconds that the slowest rank took. */
static int timed(struct store_run *r, int (*body)(struct store_run *r, struct err *e), double *seconds, struct err *e)
{
    comm_barrier(r->world);
    const double began = clock_seconds();
    body(r, e);
    const int rc = agree(r->world, e);
    *seconds = clock_seconds() - began;
    return rc;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    return values[n / 2];
}

static int run_all(struct store_run *r, struct err *e)
{
    const int n = r->o->repeat;
    double *plain = mem_array((size_t)n, sizeof *plain), *write = mem_array((size_t)n, sizeof *write), with_opening;
    int rc = 0;
    for (int i = 0; i < n && !rc; i++)
        rc = timed(r, write_plain, &plain[i], e) || timed(r, write_store, &write[i], e) ? -1 : 0;
    if (!rc)
        rc = timed(r, read_random, &with_opening, e);
    r->read = 1e-6 * (double)comm_max(r->world, (long)(1e6 * r->read));
    r->plain = median(plain, n);
    r->write = median(write, n);
    mem_free(plain);
    mem_free(write);
    return rc;
}

/* Collective. Rank 0 makes the directory and its store, the others learn its name. */
static int open_directory(struct store_run *r, struct err *e)
{
    size_t size;
    void *name = NULL;
    if (r->world->rank == 0) {
        char *path = mem_printf("retort-bench-store.%ld", (long)getpid());
        r->directory = file_join(r->o->directory, path);
        mem_free(path);
        store_create(r->directory, &r->description, e);
        name = mem_strdup(r->directory);
    }
    size = name ? strlen(name) + 1 : 0;
    comm_broadcast_buffer(r->world, &name, &size, 0);
    mem_free(r->directory);
    r->directory = name;
    return agree(r->world, e);
}

static void report(const struct store_run *r, const struct bench_options *o, struct strbuf *out)
{
    const int ranks = r->world->size;
    const double bytes = (double)r->appended * ranks, rate = bytes / r->write, most = bytes / r->plain;
    const double reads = (double)READS * ranks / r->read, tokens = reads * o->sequence_length;
    if (o->json)
        strbuf_printf(out,
                      "{\"what\": \"store\", \"ranks\": %d, \"sequence_length\": %d, \"record_bytes\": %zu, "
                      "\"bytes_per_second\": %.0f, \"ceiling_bytes_per_second\": %.0f, \"share\": %.4f, "
                      "\"reads_per_second\": %.0f, \"tokens_per_second\": %.0f}\n",
                      ranks, o->sequence_length, r->sizes[0], rate, most, rate / most, reads, tokens);
    else
        strbuf_printf(out,
                      "store: %d writer%s, records of %zu bytes (%d labels), on the disk every %d MiB\n"
                      "append  %.1f MB/s of %.1f that plain writes reach: %.3f\n"
                      "read    %.0f records/s at random, %.0f labels/s decoded\n",
                      ranks, ranks > 1 ? "s" : "", r->sizes[0], o->sequence_length, SYNC_EVERY >> 20, 1e-6 * rate,
                      1e-6 * most, rate / most, reads, tokens);
}

static void close_run(struct store_run *r)
{
    struct err ignored = {0};
    for (int i = 0; i < RECORDS; i++)
        mem_free(r->records[i]);
    if (r->world->rank == 0)
        file_remove_tree(r->directory, &ignored);
    mem_free(r->directory);
}

int bench_store(const struct comm *world, const struct bench_options *o, struct strbuf *out, struct err *e)
{
    struct store_run r = {
        .world = world,
        .o = o,
        .description = {.label = {.kind = LABEL_SAMPLED, .values = VALUES_U8, .threshold = tau, .temperature = 1},
                        .sequences = {(int64_t)world->size * RECORDS},
                        .sequence_length = o->sequence_length,
                        .vocabulary = VOCABULARY}};
    int rc = open_directory(&r, e);
    if (!rc) {
        make_records(&r);
        rc = run_all(&r, e);
    }
    if (!rc && world->rank == 0)
        report(&r, o, out);
    comm_barrier(world);
    close_run(&r);
    return rc;
}
