/* The directory of a label store: what is in store.json and who may use it, writers that come at once, files that are
 * open, sealed and renamed under a reader's eyes, disks that are full or read-only. */
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "label/store_internal.h"
#include "made.h"
#include "stores_fixture.h"

enum { STORE_LIMIT = 80000 };

/* Runs body(i) in so many processes, which begin together; each must return 0. */
static void together(int processes, int (*body)(int i))
{
    int gate[2];
    pid_t pid[16];
    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < processes; i++) {
        pid[i] = fork();
        if (pid[i] == 0) {
            char c;
            close(gate[1]);
            (void)!read(gate[0], &c, 1); /* its end */
            _exit(body(i));
        }
    }
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < processes; i++) {
        int status;
        waitpid(pid[i], &status, 0);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

/* --- store.json --- */

static void described(void **state)
{
    (void)state;
    for (int format = 0; format < MADE_FORMATS; format++) {
        struct err e = {0};
        struct store_description d = stores_description(format), there;
        strcpy(d.teacher_name, "models/\xc3\xa9\"\\\n\xff");
        char *path = mem_printf("%s/of/%d", directory, format);
        assert_done(store_create(path, &d, &e), &e);
        assert_done(store_create(path, &d, &e), &e);
        assert_done(store_describe(path, &there, &e), &e);
        assert_true(there.label.kind == d.label.kind && there.label.values == d.label.values);
        assert_true(there.label.temperature == d.label.temperature && there.label.seed == d.label.seed);
        assert_true(there.label.threshold == (d.label.kind == LABEL_SAMPLED ? d.label.threshold : 0));
        assert_true(there.label.k == (d.label.kind == LABEL_TOP_K ? d.label.k : 0));
        assert_true(there.label.draws == (d.label.kind == LABEL_RANDOM ? d.label.draws : 0));
        assert_true(there.teacher == d.teacher && there.corpus == d.corpus && there.sequences[1] == STORES_VALIDATION);
        assert_string_equal(there.teacher_name, "models/\xc3\xa9\"\\\n\xef\xbf\xbd");
        assert_string_equal(there.precision, "bf16");
        mem_free(path);
    }
}

/* A text may have been cut in the middle of a character, and be longer once that is repaired. */
static void long_names(void **state)
{
    (void)state;
    struct err e = {0};
    struct store_description d = stores_description(FORMAT), there;
    memset(d.teacher_name, 'x', sizeof d.teacher_name - 1);
    memset(d.adapter_name, '\xc3', sizeof d.adapter_name - 1);
    assert_done(store_create(directory, &d, &e), &e);
    assert_done(store_describe(directory, &there, &e), &e);
    assert_string_equal(there.teacher_name, d.teacher_name);
    assert_int_equal(strlen(there.adapter_name), 255 / 3 * 3);
}

/* One change of the description, and what an error must say of it. writers: only they must agree. */
struct change {
    int format;
    void (*apply)(struct store_description *d);
    const char *name, *value;
    bool writers;
};
#define CHANGE(function, statement)                   \
    static void function(struct store_description *d) \
    {                                                 \
        statement;                                    \
    }
CHANGE(other_kind, d->label.kind = LABEL_RANDOM)
CHANGE(other_values, d->label.values = VALUES_F16)
CHANGE(other_threshold, d->label.threshold = 0.03)
CHANGE(other_draws, d->label.draws = 51)
CHANGE(other_k, d->label.k = 51)
CHANGE(other_temperature, d->label.temperature = nextafter(1.5, 2))
CHANGE(other_length, d->sequence_length = 37)
CHANGE(other_tokenizer, d->tokenizer ^= 1)
CHANGE(other_corpus, d->corpus ^= UINT64_C(1) << 63)
CHANGE(other_train, d->sequences[SPLIT_TRAIN] = 41)
CHANGE(other_validation, d->sequences[SPLIT_VALIDATION] = 41)
CHANGE(other_vocabulary, d->vocabulary = 41)
CHANGE(other_mask, d->vocabulary_mask = 0x41)
CHANGE(other_teacher, d->teacher = 0x41; strcpy(d->teacher_name, "a-teacher"))
CHANGE(other_adapter, d->adapter = 0x41; strcpy(d->adapter_name, "an-adapter"))
CHANGE(other_precision, strcpy(d->precision, "int8"))

static const struct change changes[] = {
    {0, other_kind, "labels.encoding.kind", "\"random\"", false},
    {0, other_values, "labels.encoding.values", "\"f16\"", false},
    {0, other_threshold, "labels.encoding.threshold", "0.03", false},
    {3, other_draws, "labels.encoding.draws", "51", false},
    {6, other_k, "labels.encoding.k", "51", false},
    {0, other_temperature, "distill.temperature", "1.5000000000000002", false},
    {0, other_length, "data.sequence_length", "37", false},
    {0, other_tokenizer, "tokenizer", "1111222233334445", false},
    {0, other_corpus, "data", "2aaabbbbccccdddd", false},
    {0, other_train, "training sequences", "41", false},
    {0, other_validation, "validation sequences", "41", false},
    {0, other_vocabulary, "size of the vocabulary", "41", false},
    {0, other_mask, "mask", "0000000000000041", false},
    {0, other_teacher, "teacher.model", "a-teacher", true},
    {0, other_adapter, "teacher.adapter", "an-adapter", true},
    {0, other_precision, "teacher.precision", "int8", true},
};

static void expect_difference(const struct change *c, int rc, struct err *e, bool refused)
{
    if (refused && (rc != -1 || e->code != ERR_INPUT || !strstr(e->text, c->name) || !strstr(e->text, c->value) ||
                    !strstr(e->text, directory)))
        fail_msg("%s: said \"%s\"", c->name, e->text);
    if (!refused && (rc || e->code))
        fail_msg("%s: refused: %s", c->name, e->text);
    err_clear(e);
}

static void differences_are_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const struct change *c = &changes[i];
        struct err e = {0};
        const struct store_description there = stores_description(c->format);
        struct store_description wanted = there;
        char *path = mem_printf("%s/%zu", directory, i);
        c->apply(&wanted);
        assert_done(store_create(path, &there, &e), &e);
        expect_difference(c, store_check(path, &there, &wanted, false, &e), &e, !c->writers);
        expect_difference(c, store_check(path, &there, &wanted, true, &e), &e, true);
        expect_difference(c, store_create(path, &wanted, &e), &e, true);
        mem_free(path);
    }
}

/* What another kind of labels needs is not compared, nor is the seed. */
static void what_does_not_matter(void **state)
{
    (void)state;
    struct err e = {0};
    const struct store_description there = stores_description(0);
    struct store_description wanted = there;
    wanted.label.k = wanted.label.draws = 5;
    wanted.label.seed = 99;
    strcpy(wanted.teacher_name, "moved/teacher");
    strcpy(wanted.version, "9");
    assert_done(store_check(directory, &there, &wanted, true, &e), &e);
}

static void every_flipped_bit_is_seen(void **state)
{
    (void)state;
    for (int format = 0; format < MADE_FORMATS; format += 3) {
        struct store_description d = stores_description(format), there;
        struct strbuf text;
        strbuf_init(&text);
        d.label.threshold = 1e-5; /* 1E-05 would be the same number */
        store_print(&d, &text);
        struct err e = {0};
        assert_done(store_parse(&there, text.data, text.size, "it", &e), &e);
        for (size_t bit = 0; bit < 8 * text.size; bit++) {
            text.data[bit / 8] ^= (char)(1 << bit % 8);
            if (!store_parse(&there, text.data, text.size, "it", &e))
                fail_msg("bit %zu of \"%s\" is not seen", bit, text.data);
            assert_int_equal(e.code, ERR_INPUT);
            err_clear(&e);
            text.data[bit / 8] ^= (char)(1 << bit % 8);
        }
        for (size_t size = 0; size < text.size; size++) {
            assert_int_equal(store_parse(&there, text.data, size, "it", &e), -1);
            err_clear(&e);
        }
        strbuf_release(&text);
    }
}

static void other_version(void **state)
{
    (void)state;
    struct err e = {0};
    struct store_description there;
    static const char text[] = "{\"format\": \"retort label store 2\", \"checksum\": \"00\"}";
    assert_int_equal(store_parse(&there, text, sizeof text - 1, "it", &e), -1);
    assert_non_null(strstr(e.text, "retort label store 1"));
}

static void no_store(void **state)
{
    (void)state;
    struct err e = {0};
    struct store *s;
    assert_int_equal(store_open(&s, directory, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.text, "precompute"));
    err_clear(&e);
    assert_int_equal(store_open(&s, "absent", &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
}

/* --- several at once --- */

enum { CREATORS = 6, JOINERS = 4, JOINS = 10 };

static int create_mine(int i)
{
    struct err e = {0};
    struct store_description d = stores_description(FORMAT), there;
    d.teacher += (uint64_t)i;
    const bool first = !store_create(directory, &d, &e);
    if (!first && e.code != ERR_INPUT)
        return 1;
    err_clear(&e);
    return store_describe(directory, &there, &e) || (there.teacher == d.teacher) != first;
}

static int create_same(int i)
{
    (void)i;
    struct err e = {0};
    const struct store_description d = stores_description(FORMAT);
    return store_create(directory, &d, &e);
}

static int files_in(const char *prefix)
{
    struct err e = {0};
    struct store_names names;
    assert_done(store_names_read(&names, directory, prefix, &e), &e);
    const int n = names.count;
    store_names_release(&names);
    return n;
}

static void created_at_once(void **state)
{
    (void)state;
    struct err e = {0};
    for (int round = 0; round < 10; round++) {
        together(CREATORS, round % 2 ? create_same : create_mine);
        assert_int_equal(files_in(STORE_JSON), 1); /* and nothing temporary */
        assert_done(file_remove_tree(directory, &e), &e);
        assert_int_equal(mkdir(directory, 0777), 0);
    }
}

/* Each process says which numbers it got by making a file for each. */
static int join_some(int i)
{
    for (int k = 0; k < JOINS; k++) {
        struct err e = {0};
        int number;
        bool made;
        char *owner = mem_printf("process %d", i);
        const int failed = store_join(directory, owner, &number, &e);
        mem_free(owner);
        char *path = mem_printf("%s/got-%d", directory, number);
        if (failed || file_create(path, "", 0, &made, &e) || !made)
            return 1;
        mem_free(path);
    }
    return 0;
}

static void numbers_are_distinct(void **state)
{
    (void)state;
    create(FORMAT);
    together(JOINERS, join_some);
    assert_int_equal(files_in(STORE_WRITER), JOINERS * JOINS);
    assert_int_equal(files_in("got-"), JOINERS * JOINS);
}

/* --- writing and reading --- */

static void append_and_find(void **state)
{
    (void)state;
    create(FORMAT);
    struct store *s = open_store();
    assert_true(store_count(s) == 0 && store_parts(s) == 0);
    store_close(s);
    fill(0, ALL, MOST, true);
    s = open_store();
    assert_true(store_count(s) == ALL && store_count_of(s, SPLIT_TRAIN) == STORES_TRAIN &&
                store_count_of(s, SPLIT_VALIDATION) == STORES_VALIDATION);
    assert_int_equal(stores_whole(s, FORMAT), ALL);
    assert_true(store_parts(s) > 2);
    int64_t records = 0;
    for (int i = 0; i < store_parts(s); i++) {
        const struct store_part p = store_part(s, i);
        assert_true(p.sealed && p.bytes <= MOST && p.rest == 0 && p.seconds_unchanged < 60);
        assert_true(i == store_parts(s) - 1 || p.bytes > MOST / 2);
        assert_string_equal(p.owner, "node1, process 7, job test");
        records += p.records;
    }
    assert_true(records == ALL);
    for (int i = 0; i < ALL; i++) {
        assert_true(store_at(s, i).seq_id == stores_seq_id(i));
        store_prefetch(s, stores_seq_id(i));
    }
    size_t size;
    assert_null(store_find(s, STORES_TRAIN, &size));
    assert_null(store_find(s, UINT64_MAX, &size));
    store_prefetch(s, UINT64_MAX);
    store_close(s);
}

static void twice_and_left_open(void **state)
{
    (void)state;
    create(FORMAT);
    fill(0, 20, MOST, true);
    fill(10, 30, 1 << 30, false);
    fill(0, 0, MOST, true); /* no record: no file */
    struct store *s = open_store();
    assert_true(store_count(s) == 30);
    assert_int_equal(stores_whole(s, FORMAT), 30);
    const struct store_part last = store_part(s, store_parts(s) - 1);
    assert_true(!last.sealed && last.records == 20 && last.rest == 0);
    store_close(s);
}

/* The second half of a record is not there: the rest is. */
static void cut_while_written(void **state)
{
    (void)state;
    create(FORMAT);
    fill(0, 5, 1 << 30, false);
    char *path = mem_printf("%s/labels-000001-0000-0000.open", directory);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size - 100), 0);
    struct store *s = open_store();
    assert_int_equal(stores_whole(s, FORMAT), 4);
    assert_true(store_part(s, 0).rest > 0);
    store_close(s);
    mem_free(path);
}

static void damaged_file(void **state)
{
    (void)state;
    create(FORMAT);
    fill(0, 5, MOST, true);
    char *path = mem_printf("%s/labels-000001-0000-0000.safetensors", directory);
    assert_int_equal(truncate(path, 70000), 0);
    struct err e = {0};
    struct store *s;
    assert_int_equal(store_open(&s, directory, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.text, path));
    mem_free(path);
}

/* A writer that seals after every record, and a reader that must find at any moment what was there when it began. */
static void sealed_meanwhile(void **state)
{
    (void)state;
    create(FORMAT);
    volatile int *synced = mmap(NULL, sizeof *synced, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const pid_t pid = fork();
    if (pid == 0) {
        struct err e = {0};
        struct store_append *a;
        if (store_append_new(&a, directory, 1, 0, "x", 1, &e))
            _exit(1);
        for (int i = 0; i < ALL; i++) {
            size_t size;
            void *record = stores_record(FORMAT, i, &size);
            if (store_append(a, record, size, &e) || store_append_sync(a, &e))
                _exit(1);
            mem_free(record);
            *synced = i + 1;
        }
        _exit(store_append_seal(a, &e) ? 1 : 0);
    }
    int status = 0, looks = 0;
    do {
        const int least = *synced;
        struct store *s = open_store();
        assert_true(store_count(s) >= least);
        assert_true(stores_whole(s, FORMAT) >= least);
        store_close(s);
        looks++;
    } while (waitpid(pid, &status, WNOHANG) == 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0 && looks > 0);
    struct store *s = open_store();
    assert_int_equal(stores_whole(s, FORMAT), ALL);
    store_close(s);
    munmap((void *)synced, sizeof *synced);
}

/* Once, when the directory has been read and before anything is opened; the linker puts the wrapper there. */
static void (*after_reading)(void);

int __real_closedir(DIR *d);
int __wrap_closedir(DIR *d);

int __wrap_closedir(DIR *d)
{
    const int rc = __real_closedir(d);
    void (*const now)(void) = after_reading;
    after_reading = NULL;
    if (now)
        now();
    return rc;
}

static struct store_append *sealer;

static void seal_now(void)
{
    struct err e = {0};
    assert_done(store_append_seal(sealer, &e), &e);
}

static void renamed_meanwhile(void **state)
{
    (void)state;
    struct err e = {0};
    create(FORMAT);
    fill(0, 10, MOST, true);
    assert_done(store_append_new(&sealer, directory, 9, 0, "x", HUGE, &e), &e);
    for (int i = 10; i < 20; i++) {
        size_t size;
        void *record = stores_record(FORMAT, i, &size);
        assert_done(store_append(sealer, record, size, &e), &e);
        mem_free(record);
    }
    after_reading = seal_now;
    struct store *s = open_store();
    assert_int_equal(stores_whole(s, FORMAT), 20);
    store_close(s);
    store_append_free(sealer);
}

static void merge_now(void)
{
    struct err e = {0};
    struct strbuf said;
    strbuf_init(&said);
    assert_done(store_compact(directory, HUGE, 0, "x", &said, &e), &e);
    strbuf_release(&said);
}

static void merged_meanwhile(void **state)
{
    (void)state;
    create(FORMAT);
    fill(0, 10, MOST, true);
    fill(10, 20, MOST, true);
    after_reading = merge_now;
    struct store *s = open_store();
    assert_int_equal(stores_whole(s, FORMAT), 20);
    store_close(s);
}

static void add_now(void)
{
    fill(10, 20, MOST, true);
}

/* A directory that changes may be read without a name that was there all the time; so it is read again until two
 * readings agree. */
static void added_meanwhile(void **state)
{
    (void)state;
    create(FORMAT);
    fill(0, 10, MOST, true);
    after_reading = add_now;
    struct store *s = open_store();
    assert_int_equal(stores_whole(s, FORMAT), 20);
    store_close(s);
}

/* --- the environment --- */

/* A file that may not grow, as on a full disk: what was synced before stays, and the writer says no from then on. */
static void full_disk(void **state)
{
    (void)state;
    create(FORMAT);
    const struct rlimit limit = {STORE_LIMIT, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        struct err e = {0};
        struct store_append *a;
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        int i = 0, rc = store_append_new(&a, directory, 1, 0, "x", 1 << 30, &e);
        while (!rc) {
            size_t size;
            void *record = stores_record(FORMAT, i++, &size);
            rc = store_append(a, record, size, &e) || store_append_sync(a, &e);
            mem_free(record);
        }
        struct err again = {0};
        setrlimit(RLIMIT_FSIZE, &none); /* somebody has made room: what failed is not whole for that */
        const bool refuses = e.code == ERR_ENVIRONMENT && store_append_seal(a, &again) && again.code == e.code &&
                             !strcmp(e.text, again.text) && strstr(e.text, directory);
        _exit(refuses ? i - 1 : 255);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    struct store *s = open_store();
    assert_in_range(stores_whole(s, FORMAT), 3, 30);
    assert_int_equal(stores_whole(s, FORMAT), WEXITSTATUS(status));
    store_close(s);
}

static bool mounted(const char *options, unsigned long flags)
{
    if (!mount("none", directory, "tmpfs", flags, options))
        return true;
    print_message("SKIPPED: a small file system cannot be mounted here (root can)\n");
    return false;
}

static void no_room_for_a_store(void **state)
{
    (void)state;
    struct err e = {0};
    const struct store_description d = stores_description(FORMAT);
    if (!mounted("size=4k", 0))
        skip();
    char *path = file_join(directory, "filler");
    file_write(path, path, 1, &e);
    err_clear(&e);
    const int rc = store_create(directory, &d, &e);
    umount(directory);
    mem_free(path);
    assert_int_equal(rc, -1);
    assert_int_equal(e.code, ERR_ENVIRONMENT);
    assert_non_null(strstr(e.text, "No space left"));
}

/* Who only reads needs no more. */
static void read_only(void **state)
{
    (void)state;
    struct err create_error = {0}, join_error = {0}, append_error = {0}, e = {0};
    const struct store_description d = stores_description(FORMAT);
    struct store *s = NULL;
    struct store_append *a = NULL;
    int number;
    size_t size;
    if (!mounted("size=1m", 0))
        skip();
    char *below = file_join(directory, "below");
    const bool made = !store_create(directory, &d, &e) && stores_fill(directory, FORMAT, 0, 5, MOST, true, &e) >= 0;
    mount("none", directory, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL);
    const int again = store_create(directory, &d, &e);
    store_create(below, &d, &create_error);
    store_join(directory, "x", &number, &join_error);
    store_append_new(&a, directory, 9, 0, "x", MOST, &append_error);
    void *record = stores_record(FORMAT, 0, &size);
    store_append(a, record, size, &append_error);
    store_append_free(a);
    const int opened = store_open(&s, directory, &e), there = opened ? -1 : stores_whole(s, FORMAT);
    store_close(s);
    umount(directory);
    mem_free(below);
    mem_free(record);
    if (!made || again || opened)
        fail_msg("%s", e.text);
    assert_int_equal(there, 5);
    const struct err *errors[] = {&create_error, &join_error, &append_error};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(errors[i]->code, ERR_ENVIRONMENT);
        assert_non_null(strstr(errors[i]->text, "Read-only"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(described),
        IN_DIRECTORY(long_names),
        IN_DIRECTORY(differences_are_named),
        IN_DIRECTORY(what_does_not_matter),
        IN_DIRECTORY(every_flipped_bit_is_seen),
        IN_DIRECTORY(other_version),
        IN_DIRECTORY(no_store),
        IN_DIRECTORY(created_at_once),
        IN_DIRECTORY(numbers_are_distinct),
        IN_DIRECTORY(append_and_find),
        IN_DIRECTORY(twice_and_left_open),
        IN_DIRECTORY(cut_while_written),
        IN_DIRECTORY(damaged_file),
        IN_DIRECTORY(sealed_meanwhile),
        IN_DIRECTORY(renamed_meanwhile),
        IN_DIRECTORY(merged_meanwhile),
        IN_DIRECTORY(added_meanwhile),
        IN_DIRECTORY(full_disk),
        IN_DIRECTORY(no_room_for_a_store),
        IN_DIRECTORY(read_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
