/* Looking after a label store: merging loses nothing, wherever it is killed; what is exported is what is decoded. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fmt/safetensors.h"
#include "base/mem.h"
#include "label/record.h"
#include "label/store_internal.h"
#include "made.h"
#include "stores_fixture.h"

/* --- calls that change the disk: the linker puts these in the place of the real ones (CMakeLists.txt) --- */

static int calls, last_call; /* last_call > 0: the process dies when it makes this call */

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset);

static bool watching; /* at each call, for files that are written and do not look like it */
static int open_files, unlocked;

static void watch_open_files(void)
{
    struct store_names names;
    struct err e = {0};
    assert_done(store_names_read(&names, directory, STORE_LABELS, &e), &e);
    for (int i = 0; i < names.count; i++) {
        char *path = file_join(directory, names.names[i]);
        const bool open = file_ends_in(path, ".open");
        open_files += open;
        unlocked += open && !store_writer_lives(path);
        mem_free(path);
    }
    store_names_release(&names);
}

static bool is_last(void)
{
    if (watching)
        watch_open_files();
    return ++calls == last_call;
}

static void die_if_last(void)
{
    if (is_last())
        raise(SIGKILL);
}

int __wrap_rename(const char *from, const char *to)
{
    die_if_last();
    return __real_rename(from, to);
}

int __wrap_link(const char *from, const char *to)
{
    die_if_last();
    return __real_link(from, to);
}

int __wrap_unlink(const char *path)
{
    die_if_last();
    return __real_unlink(path);
}

int __wrap_fsync(int fd)
{
    die_if_last();
    return __real_fsync(fd);
}

int __wrap_fdatasync(int fd)
{
    die_if_last();
    return __real_fdatasync(fd);
}

/* The last write gets half of its bytes onto the disk. */
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    if (is_last()) {
        __real_pwrite(fd, bytes, size / 2, offset);
        raise(SIGKILL);
    }
    return __real_pwrite(fd, bytes, size, offset);
}

/* --- compact --- */

static char *compact(uint64_t most, double idle_seconds)
{
    struct err e = {0};
    struct strbuf said;
    strbuf_init(&said);
    assert_done(store_compact(directory, most, idle_seconds, "compact", &said, &e), &e);
    return said.size ? strbuf_detach(&said) : mem_strdup("");
}

static void expect_compact(uint64_t most, double idle_seconds, const char *text)
{
    char *said = compact(most, idle_seconds);
    if (!strstr(said, text))
        fail_msg("said \"%s\"; expected \"%s\"", said, text);
    mem_free(said);
}

/* Small files, one left open with half a record at its end, and records that are there twice. */
static void fill_mixed(void)
{
    fill(0, 10, MOST, true);
    fill(5, 20, HUGE, false);
    fill(18, 21, 1, true);
    char *path = mem_printf("%s/labels-000002-0000-0000.open", directory);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size - 100), 0);
    mem_free(path);
}

static void merged(void **state)
{
    (void)state;
    fill_mixed();
    expect_compact(HUGE, 3600, "nothing to merge");
    expect_compact(HUGE, 3600, "left alone");
    expect_store(21, -1);
    expect_compact(HUGE, 0, "left out");
    expect_store(21, 1);
    expect_compact(HUGE, 0, "nothing to merge");
    expect_store(21, 1);
    expect_compact(MOST, 0, "nothing to merge"); /* it does not cut what is large */
    fill(21, ALL, 1, true);
    expect_compact(MOST, 0, "merged");
    struct err e = {0};
    struct store *s;
    assert_done(store_open(&s, directory, &e), &e);
    assert_int_equal(stores_whole(s, FORMAT), ALL);
    for (int i = 1; i < store_parts(s); i++)
        assert_true(store_part(s, i).sealed && store_part(s, i).bytes <= MOST);
    assert_true(store_parts(s) > 2);
    store_close(s);
}

/* Files that are large enough to be left as they are, but for what they have in common. */
static void large_files_that_overlap(void **state)
{
    (void)state;
    fill(0, 20, HUGE, true);
    fill(20, 30, HUGE, true);
    fill(25, 40, HUGE, true);
    expect_compact(MOST, 0, "merged 2 files into 3: 20 records, left out 5");
    expect_store(40, 4);
    expect_compact(MOST, 0, "nothing to merge");
}

static void nothing_there(void **state)
{
    (void)state;
    expect_compact(HUGE, 0, "nothing to merge");
    expect_store(0, 0);
    struct err e = {0};
    struct store_writer *w; /* one that was killed before its first record */
    assert_done(store_writer_new(&w, directory, "labels-000009-0000-0000", "x", &e), &e);
    store_writer_free(w);
    expect_compact(HUGE, 0, "merged 1 file into 0");
    expect_store(0, 0);
}

/* What a living process writes is never merged, however long ago it wrote. */
static void living_writer(void **state)
{
    (void)state;
    struct err e = {0};
    struct store_append *a;
    size_t size;
    fill(0, 5, HUGE, true);
    fill(5, 10, HUGE, true);
    assert_done(store_append_new(&a, directory, 9, 0, "x", HUGE, &e), &e);
    for (int i = 10; i < 12; i++) {
        void *record = stores_record(FORMAT, i, &size);
        assert_done(store_append(a, record, size, &e) || store_append_sync(a, &e), &e);
        mem_free(record);
        expect_compact(HUGE, 0, "left alone 1 file");
    }
    assert_done(store_append_seal(a, &e), &e);
    store_append_free(a);
    expect_store(12, 2);
    expect_compact(HUGE, 0, "merged 2 files");
    expect_store(12, 1);
}

static void damaged_files_stay(void **state)
{
    (void)state;
    fill(0, 10, MOST, true);
    char *path = mem_printf("%s/labels-000001-0000-0001.safetensors", directory);
    const int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "x", 1, 66000), 1);
    close(fd);
    struct err e = {0};
    struct strbuf said;
    strbuf_init(&said);
    assert_int_equal(store_compact(directory, HUGE, 0, "compact", &said, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.text, path));
    assert_true(file_exists(path));
    strbuf_release(&said);
    mem_free(path);
}

/* True if it was killed before it came to its end. */
static bool compact_until(int call)
{
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        struct err e = {0};
        struct strbuf said;
        strbuf_init(&said);
        calls = 0;
        last_call = call;
        const int rc = store_compact(directory, MOST, 0, "compact", &said, &e);
        _exit(rc ? 1 : 0);
    }
    int status;
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status))
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

static void killed_anywhere(void **state)
{
    (void)state;
    int call = 0;
    bool killed = true;
    while (killed) {
        remove_directory(NULL);
        create(FORMAT);
        fill_mixed();
        killed = compact_until(++call);
        expect_store(21, -1);
        mem_free(compact(MOST, 0));
        expect_store(21, -1);
        expect_compact(MOST, 0, "nothing to merge");
    }
    assert_true(call > 30); /* numbers, records, seals, removals */
}

/* Whoever looks at any moment sees that a file is being written. */
static void locked_from_the_first(void **state)
{
    (void)state;
    calls = open_files = unlocked = 0;
    watching = true;
    fill(0, 21, 1, true); /* a file for each record */
    watching = false;
    assert_true(open_files > 21);
    assert_int_equal(unlocked, 0);
}

/* Two that merge and one that writes, at once. */
static void all_at_once(void **state)
{
    (void)state;
    enum { PROCESSES = 3 };
    pid_t pid[PROCESSES];
    fill(0, 25, 1, true);
    fflush(NULL);
    for (int i = 0; i < PROCESSES; i++) {
        pid[i] = fork();
        if (pid[i])
            continue;
        struct err e = {0};
        struct strbuf said;
        strbuf_init(&said);
        for (int k = 0; k < 10 && i;
             k++) /* the other one's work may vanish while it is read: that is an error, no loss */
            store_compact(directory, MOST, 0, "compact", &said, &e);
        const bool failed = !i && stores_fill(directory, FORMAT, 20, ALL, 1, true, &e) < 0;
        if (failed)
            fprintf(stderr, "the writer: %s\n", e.text);
        _exit(failed);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        waitpid(pid[i], &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    expect_store(ALL, -1);
}

/* --- export --- */

static const void *array(const struct safetensors *f, const char *name, enum dtype dtype, int64_t length)
{
    const struct tensor *t = safetensors_find(f, name);
    if (!t || t->dtype != dtype || t->rank != 1 || t->shape[0] != length)
        fail_msg("%s is missing, or of another type or length", name);
    return t->data;
}

static void expect_record(const struct store *s, int64_t i, const struct safetensors *f, int64_t labels,
                          int64_t entries)
{
    const struct store_record r = store_at(s, i);
    const int64_t n = store_count(s);
    struct record_info info;
    struct label_set set;
    struct err e = {0};
    assert_done(record_info(r.bytes, r.size, &info, &e), &e);
    assert_done(record_decode(r.bytes, r.size, &store_description(s)->label, r.seq_id, info.input_hash, MADE_VOCABULARY,
                              &set, &e),
                &e);
    const uint64_t *first_label = array(f, "label_offset", DTYPE_U64, n + 1);
    const uint64_t *first = array(f, "entry_offset", DTYPE_U64, labels + 1);
    assert_true(((const uint64_t *)array(f, "seq_id", DTYPE_U64, n))[i] == r.seq_id);
    assert_true(((const uint64_t *)array(f, "input_hash", DTYPE_U64, n))[i] == info.input_hash);
    const uint64_t at = first_label[i], begin = first[at];
    assert_true(first_label[i + 1] - at == (uint64_t)set.labels);
    for (int k = 0; k <= set.labels; k++)
        assert_true(first[at + (uint64_t)k] - begin == (uint64_t)set.first[k]);
    const size_t size = (size_t)set.first[set.labels] * 4, label_size = (size_t)set.labels * 4;
    assert_memory_equal((const uint32_t *)array(f, "ids", DTYPE_U32, entries) + begin, set.ids, size);
    assert_memory_equal((const float *)array(f, "p", DTYPE_F32, entries) + begin, set.p, size);
    assert_memory_equal((const float *)array(f, "tail", DTYPE_F32, labels) + at, set.tail, label_size);
    assert_memory_equal((const float *)array(f, "entropy", DTYPE_F32, labels) + at, set.entropy, label_size);
    if (set.hidden) {
        const struct tensor *t = safetensors_find(f, "hidden");
        assert_true(t && t->rank == 2 && t->shape[0] == labels && t->shape[1] == MADE_WIDTH);
        assert_memory_equal((const float *)(const void *)t->data + at * MADE_WIDTH, set.hidden,
                            label_size * MADE_WIDTH);
    }
    label_set_release(&set);
}

static void exported(void **state)
{
    (void)state;
    for (int format = 0; format < MADE_FORMATS; format++) {
        struct err e = {0};
        struct store *s;
        struct safetensors *f;
        remove_directory(NULL);
        create(format);
        if (stores_fill(directory, format, 3, ALL, MOST, true, &e) < 0)
            fail_msg("%s", e.text);
        char *path = file_join(directory, "all.safetensors");
        assert_done(store_open(&s, directory, &e), &e);
        assert_done(store_export(s, path, &e), &e);
        assert_int_equal(store_export(s, path, &e), -1);
        assert_int_equal(e.code, ERR_ENVIRONMENT);
        err_clear(&e);
        assert_done(safetensors_open(&f, path, &e), &e);
        assert_int_equal(safetensors_count(f), format >= MADE_HIDDEN ? 9 : 8);
        const int64_t labels = safetensors_find(f, "tail")->shape[0], entries = safetensors_find(f, "p")->shape[0];
        assert_true(labels == (ALL - 3) * MADE_LABELS);
        for (int64_t i = 0; i < store_count(s); i++)
            expect_record(s, i, f, labels, entries);
        safetensors_close(f);
        store_close(s);
        mem_free(path);
    }
}

/* Arrays longer than the buffers between them and the file. */
static void exported_large(void **state)
{
    enum { RECORDS = 2000 };
    (void)state;
    struct err e = {0};
    struct store_append *a;
    struct store *s;
    struct safetensors *f;
    assert_done(store_append_new(&a, directory, 1, 0, "x", HUGE, &e), &e);
    static struct made m;
    const struct label_spec spec = made_spec(FORMAT);
    for (int i = 0; i < RECORDS; i++) {
        size_t size;
        made_fill(&m, &spec, (uint64_t)i);
        void *record = made_record_of(&m, (uint64_t)i, 1, &size);
        assert_done(store_append(a, record, size, &e), &e);
        mem_free(record);
    }
    assert_done(store_append_seal(a, &e), &e);
    store_append_free(a);
    char *path = file_join(directory, "all.safetensors");
    assert_done(store_open(&s, directory, &e), &e);
    assert_done(store_export(s, path, &e), &e);
    assert_done(safetensors_open(&f, path, &e), &e);
    const int64_t labels = safetensors_find(f, "tail")->shape[0], entries = safetensors_find(f, "p")->shape[0];
    assert_true(entries * 4 > 2 << 20);
    for (int64_t i = 0; i < RECORDS; i += 97)
        expect_record(s, i, f, labels, entries);
    safetensors_close(f);
    store_close(s);
    mem_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_STORE(merged),
        IN_STORE(large_files_that_overlap),
        IN_STORE(nothing_there),
        IN_STORE(living_writer),
        IN_STORE(damaged_files_stay),
        IN_STORE(killed_anywhere),
        IN_STORE(locked_from_the_first),
        IN_STORE(all_at_once),
        IN_STORE(exported),
        IN_STORE(exported_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
