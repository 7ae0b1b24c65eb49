/* Packing and its file: nothing lost, nothing split that must stay whole, the same bytes every time, and no damaged
 * file believed. What the documents are is worked out here with the tests' own encoder. */
#include "test.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "data/corpus.h"
#include "data/tiny.h"

enum { LENGTH = 16, DOCUMENTS = 300, DOCUMENT_MAX = 80 };

static struct tokenizer *tokenizer;

static int open_tokenizer(void **state)
{
    (void)state;
    tokenizer = tiny_open(&(struct tiny_options){0});
    return 0;
}

static int close_tokenizer(void **state)
{
    tokenizer_close(tokenizer);
    return tiny_remove_directory(state);
}

static struct corpus_spec spec_of(const struct data_file *train)
{
    return (struct corpus_spec){
        .files = {train, NULL}, .file_count = {1, 0}, .sequence_length = LENGTH, .append_eos = true};
}

static uint64_t key_of(const struct corpus_spec *spec)
{
    uint64_t key = 0;
    struct err e = {0};
    assert_done(corpus_key(spec, tokenizer, &key, &e), &e);
    return key;
}

/* Builds and opens name. */
static struct corpus *corpus_of(const struct corpus_spec *spec, const char *name)
{
    struct err e = {0};
    struct corpus *k = NULL;
    uint64_t key = key_of(spec);
    char *path = file_join(tiny_directory(), name);
    assert_done(corpus_build(path, key, spec, tokenizer, &e), &e);
    assert_done(corpus_open(&k, path, key, &e), &e);
    mem_free(path);
    return k;
}

static void check_build_fails(const struct corpus_spec *spec, enum err_code code, const char *part)
{
    struct err e = {0};
    char *path = file_join(tiny_directory(), "fails");
    assert_int_equal(corpus_build(path, 0, spec, tokenizer, &e), -1);
    assert_int_equal(e.code, code);
    if (!strstr(e.text, part))
        fail_msg("\"%s\" does not say \"%s\"", e.text, part);
    assert_false(file_exists(path));
    mem_free(path);
}

/* Document i: a number, then letters that depend on it, in all n bytes or as many as the number needs. */
static void document_text(int i, int n, char *out)
{
    int at = sprintf(out, "%d", i);
    while (at < n) {
        out[at] = (char)('A' + (i * 7 + at * 3) % 26);
        at++;
    }
    out[at] = 0;
}

static int text_length(int i)
{
    return i * 37 % 61;
}

static char *text_file(int documents)
{
    struct strbuf s;
    strbuf_init(&s);
    char text[DOCUMENT_MAX];
    for (int i = 0; i < documents; i++) {
        document_text(i, text_length(i), text);
        strbuf_printf(&s, "{\"text\": \"%s\"}\n", text);
    }
    char *path = tiny_file("texts.jsonl", s.data, s.size);
    strbuf_release(&s);
    return path;
}

/* Prompts of 4 to 6 bytes: "P%03d" and more; completions of 1 to 9. With EOS at most LENGTH. */
static void completion_parts(int i, char *prompt, char *completion)
{
    sprintf(prompt, "P%03d%.*s", i, i % 3, "xy");
    sprintf(completion, "%.*s", 1 + i % 9, "abcdefghi");
}

static char *completion_file(int documents)
{
    struct strbuf s;
    strbuf_init(&s);
    char prompt[16], completion[16];
    for (int i = 0; i < documents; i++) {
        completion_parts(i, prompt, completion);
        strbuf_printf(&s, "{\"prompt\": \"%s\", \"completion\": \"%s\"}\n", prompt, completion);
    }
    char *path = tiny_file("completions.jsonl", s.data, s.size);
    strbuf_release(&s);
    return path;
}

static void check_sequence(const struct sequence *s, int64_t index)
{
    assert_int_equal(s->id, (uint64_t)index);
    assert_in_range(s->tokens, 1, LENGTH);
    assert_int_equal(s->starts[0], 0);
    assert_int_equal(s->starts[s->documents], s->tokens);
    int labels = 0;
    for (int d = 0; d < s->documents; d++) {
        assert_true(s->starts[d] < s->starts[d + 1]);
        assert_int_equal(s->supervised[s->starts[d]], 0);
        const int before = labels;
        for (int i = s->starts[d]; i < s->starts[d + 1]; i++)
            labels += s->supervised[i];
        assert_true(labels > before); /* no document is there for nothing */
    }
    assert_int_equal(labels, s->labels);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

struct pairs {
    uint64_t items[DOCUMENTS * DOCUMENT_MAX];
    size_t count;
};

static void add_pair(struct pairs *p, uint32_t before, uint32_t target)
{
    p->items[p->count++] = (uint64_t)before << 32 | target;
}

/* Cut texts repeat one token: every (token before, target) of the documents is there exactly once, and no other. */
static void no_target_of_a_text_is_lost(void **state)
{
    (void)state;
    char *path = text_file(DOCUMENTS);
    const struct data_file file = {path, DATA_TEXT};
    struct corpus_spec spec = spec_of(&file);
    struct corpus *k = corpus_of(&spec, "texts.corpus");

    static struct pairs expected, packed;
    expected.count = packed.count = 0;
    for (int i = 0; i < DOCUMENTS; i++) {
        char text[DOCUMENT_MAX];
        uint32_t ids[DOCUMENT_MAX];
        document_text(i, text_length(i), text);
        size_t n = tiny_encode(text, strlen(text), ids);
        ids[n++] = TINY_EOS;
        for (size_t t = 1; t < n; t++)
            add_pair(&expected, ids[t - 1], ids[t]);
    }
    int full = 0;
    for (int64_t i = 0; i < corpus_count(k, SPLIT_TRAIN); i++) {
        struct sequence s = corpus_sequence(k, SPLIT_TRAIN, i);
        check_sequence(&s, i);
        full += s.tokens == LENGTH;
        for (int t = 0; t < s.tokens; t++)
            if (s.supervised[t])
                add_pair(&packed, s.ids[t - 1], s.ids[t]);
    }
    assert_int_equal(packed.count, expected.count);
    qsort(expected.items, expected.count, sizeof(uint64_t), compare_u64);
    qsort(packed.items, packed.count, sizeof(uint64_t), compare_u64);
    assert_memory_equal(packed.items, expected.items, expected.count * sizeof(uint64_t));
    /* a sequence is short only where one token of room was left, or it is the last */
    for (int64_t i = 0; i + 1 < corpus_count(k, SPLIT_TRAIN); i++)
        assert_true(corpus_sequence(k, SPLIT_TRAIN, i).tokens >= LENGTH - 1);
    assert_true(full > 0);

    const struct corpus_report *r = corpus_report(k, SPLIT_TRAIN);
    assert_int_equal(r->documents, DOCUMENTS);
    assert_int_equal(r->supervised, (int64_t)expected.count);
    assert_int_equal(r->documents_cut, 0);
    assert_int_equal(r->documents_dropped, 0);
    corpus_close(k);
    mem_free(path);
}

/* Which completion document stands at start d of s, checked whole. */
static int whole_document(const struct sequence *s, int d)
{
    const uint32_t *ids = s->ids + s->starts[d];
    const unsigned char *supervised = s->supervised + s->starts[d];
    int i = (int)(ids[1] - '0') * 100 + (int)(ids[2] - '0') * 10 + (int)(ids[3] - '0');
    char prompt[16], completion[16];
    completion_parts(i, prompt, completion);
    uint32_t expected[DOCUMENT_MAX];
    size_t head = tiny_encode(prompt, strlen(prompt), expected);
    size_t n = head + tiny_encode(completion, strlen(completion), expected + head);
    expected[n++] = TINY_EOS;
    assert_int_equal(s->starts[d + 1] - s->starts[d], n);
    assert_memory_equal(ids, expected, n * sizeof *ids);
    for (size_t t = 0; t < n; t++)
        assert_int_equal(supervised[t], t >= head);
    return i;
}

static void completions_stay_whole(void **state)
{
    (void)state;
    char *path = completion_file(DOCUMENTS);
    const struct data_file file = {path, DATA_COMPLETION};
    struct corpus_spec spec = spec_of(&file);
    struct corpus *k = corpus_of(&spec, "completions.corpus");
    int seen[DOCUMENTS] = {0};
    int several = 0;
    for (int64_t i = 0; i < corpus_count(k, SPLIT_TRAIN); i++) {
        struct sequence s = corpus_sequence(k, SPLIT_TRAIN, i);
        check_sequence(&s, i);
        if (i) /* opened only because its first document did not fit */
            assert_true(corpus_sequence(k, SPLIT_TRAIN, i - 1).tokens + s.starts[1] > LENGTH);
        several += s.documents > 1;
        for (int d = 0; d < s.documents; d++)
            seen[whole_document(&s, d)]++;
    }
    for (int i = 0; i < DOCUMENTS; i++)
        assert_int_equal(seen[i], 1);
    assert_true(several > 0);
    corpus_close(k);
    mem_free(path);
}

static void long_documents_are_cut_or_dropped(void **state)
{
    (void)state;
    const char *lines = "{\"prompt\": \"0123456789\", \"completion\": \"abcdefghij\"}\n" /* cut to 16 */
                        "{\"prompt\": \"0123456789abcdefX\", \"completion\": \"y\"}\n" /* cut, nothing left: dropped */
                        "{\"prompt\": \"\", \"completion\": \"0123456789abcde\"}\n";   /* 16 with EOS: fits */
    char *path = tiny_file_text("long.jsonl", lines);
    const struct data_file file = {path, DATA_COMPLETION};
    struct corpus_spec spec = spec_of(&file);
    struct corpus *k = corpus_of(&spec, "long.corpus");
    const struct corpus_report *r = corpus_report(k, SPLIT_TRAIN);
    assert_int_equal(r->documents, 2);
    assert_int_equal(r->documents_cut, 2);
    assert_int_equal(r->documents_dropped, 1);
    assert_int_equal(r->tokens, 32);
    assert_int_equal(r->supervised, 6 + 15);
    assert_int_equal(corpus_count(k, SPLIT_TRAIN), 2);
    for (int64_t i = 0; i < 2; i++) {
        struct sequence s = corpus_sequence(k, SPLIT_TRAIN, i);
        assert_int_equal(s.tokens, LENGTH);
        assert_int_equal(s.ids[15], s.labels == 6 ? 'f' : TINY_EOS);
    }
    corpus_close(k);
    mem_free(path);
}

static void replaced_bytes_are_reported(void **state)
{
    (void)state;
    char *a = tiny_file_text("broken.txt", "ab\xff\xfe");
    char *b = tiny_file_text("broken.jsonl", "{\"text\": \"a\xff\"}\n{\"text\": \"b\"}\n");
    const struct data_file files[] = {{a, DATA_TEXT}, {b, DATA_TEXT}};
    struct corpus_spec spec = spec_of(files);
    spec.file_count[SPLIT_TRAIN] = 2;
    struct corpus *k = corpus_of(&spec, "broken.corpus");
    assert_int_equal(corpus_report(k, SPLIT_TRAIN)->bytes_replaced, 3);
    assert_int_equal(corpus_report(k, SPLIT_TRAIN)->documents, 3);
    corpus_close(k);
    mem_free(a);
    mem_free(b);
}

static void splits_have_their_own_ids(void **state)
{
    (void)state;
    char *path = completion_file(20);
    const struct data_file file = {path, DATA_COMPLETION};
    struct corpus_spec spec = spec_of(&file);
    struct corpus *k = corpus_of(&spec, "no-validation.corpus");
    assert_int_equal(corpus_count(k, SPLIT_VALIDATION), 0);
    corpus_close(k);

    spec.files[SPLIT_VALIDATION] = &file;
    spec.file_count[SPLIT_VALIDATION] = 1;
    k = corpus_of(&spec, "both.corpus");
    int64_t n = corpus_count(k, SPLIT_VALIDATION);
    assert_true(n > 1);
    assert_true(corpus_sequence(k, SPLIT_VALIDATION, n - 1).id == ((uint64_t)1 << 56 | (uint64_t)(n - 1)));
    assert_int_equal(corpus_sequence_length(k), LENGTH);
    assert_int_equal(corpus_report(k, SPLIT_VALIDATION)->documents, 20);
    corpus_close(k);
    mem_free(path);
}

/* The documents of a corpus in packed order. */
static int document_order(const struct corpus_spec *spec, int *order)
{
    struct corpus *k = corpus_of(spec, "order.corpus");
    int count = 0;
    for (int64_t i = 0; i < corpus_count(k, SPLIT_TRAIN); i++) {
        struct sequence s = corpus_sequence(k, SPLIT_TRAIN, i);
        for (int d = 0; d < s.documents; d++)
            order[count++] = whole_document(&s, d);
    }
    corpus_close(k);
    return count;
}

static int compare_int(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void pack_seed_changes_the_order_and_nothing_else(void **state)
{
    (void)state;
    char *path = completion_file(DOCUMENTS);
    const struct data_file file = {path, DATA_COMPLETION};
    struct corpus_spec spec = spec_of(&file);
    int a[DOCUMENTS], b[DOCUMENTS];
    assert_int_equal(document_order(&spec, a), DOCUMENTS);
    spec.pack_seed = 1;
    assert_int_equal(document_order(&spec, b), DOCUMENTS);
    assert_memory_not_equal(a, b, sizeof a);
    int in_place = 0;
    for (int i = 0; i < DOCUMENTS; i++)
        in_place += a[i] == i;
    assert_in_range(in_place, 0, 9); /* one on average if the files' order is gone */
    qsort(a, DOCUMENTS, sizeof *a, compare_int);
    qsort(b, DOCUMENTS, sizeof *b, compare_int);
    assert_memory_equal(a, b, sizeof a);
    mem_free(path);
}

static void the_same_bytes_every_time(void **state)
{
    (void)state;
    char *path = text_file(DOCUMENTS);
    const struct data_file file = {path, DATA_TEXT};
    struct corpus_spec spec = spec_of(&file);
    struct file_map maps[2];
    struct err e = {0};
    for (int i = 0; i < 2; i++) {
        omp_set_num_threads(i ? 3 : 1);
        corpus_close(corpus_of(&spec, i ? "threads.corpus" : "one.corpus"));
        char *built = file_join(tiny_directory(), i ? "threads.corpus" : "one.corpus");
        assert_done(file_map_open(&maps[i], built, &e), &e);
        mem_free(built);
    }
    omp_set_num_threads(1);
    assert_int_equal(maps[0].size, maps[1].size);
    assert_memory_equal(maps[0].data, maps[1].data, maps[0].size);
    file_map_close(&maps[0]);
    file_map_close(&maps[1]);
    mem_free(path);
}

/* XXH3-64 of ids, starts, mask and shift one after the other; stores depend on it, so the number may never change. */
static void input_hash_known_answer(void **state)
{
    (void)state;
    const uint32_t ids[] = {1, 70000, 3, 4, 5};
    const int32_t starts[] = {0, 2, 5};
    unsigned char supervised[] = {0, 1, 0, 0, 1};
    const uint32_t shift = 1;
    unsigned char bytes[37];
    memcpy(bytes, ids, 20);
    memcpy(bytes + 20, starts, 8);
    memcpy(bytes + 28, supervised, 5);
    memcpy(bytes + 33, &shift, 4);
    struct sequence s = {.tokens = 5, .documents = 2, .ids = ids, .starts = starts, .supervised = supervised};
    assert_true(sequence_hash(&s) == XXH3_64bits(bytes, sizeof bytes));
    assert_true(sequence_hash(&s) == 0x74e9d92e273c4ad0);

    uint64_t before = sequence_hash(&s);
    supervised[4] = 0;
    assert_true(sequence_hash(&s) != before);
    supervised[4] = 1;
    const int32_t others[] = {0, 3, 5};
    s.starts = others;
    assert_true(sequence_hash(&s) != before);
}

static void the_key_knows_what_packing_depends_on(void **state)
{
    (void)state;
    const char *chat = "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}]}\n";
    char *path = tiny_file_text("key.jsonl", chat), *copy = tiny_file_text("moved.jsonl", chat);
    char *whole = tiny_file_text("whole.txt", chat);
    char *other = tiny_file_text("other.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"r\"}]}\n");
    const struct data_file file = {path, DATA_CHAT}, moved = {copy, DATA_CHAT}, changed = {other, DATA_CHAT};
    const struct data_file completion = {path, DATA_COMPLETION}, lines = {path, DATA_TEXT}, text = {whole, DATA_TEXT};
    const struct data_file two[] = {file, changed}, swapped[] = {changed, file};
    struct corpus_spec base = spec_of(&file);
    base.template_name = "chatml";

    struct corpus_spec same = base;
    same.files[0] = &moved;
    assert_true(key_of(&same) == key_of(&base));

    enum { VARIANTS = 12 };
    struct corpus_spec v[VARIANTS];
    for (int i = 0; i < VARIANTS; i++)
        v[i] = base;
    v[1].files[0] = &changed;
    v[2].files[0] = &completion;
    v[3].pack_seed = 1;
    v[4].sequence_length = LENGTH + 1;
    v[5].append_eos = false;
    v[6].template_name = "qwen3";
    v[7].system_prompt = "";
    v[8].files[0] = two, v[8].file_count[0] = 2;
    v[9].files[0] = swapped, v[9].file_count[0] = 2;
    v[10].files[0] = &lines;
    v[11].files[0] = &text;
    for (int i = 0; i < VARIANTS; i++)
        for (int k = 0; k < i; k++)
            if (key_of(&v[i]) == key_of(&v[k]))
                fail_msg("variants %d and %d have one key", k, i);
    mem_free(path);
    mem_free(copy);
    mem_free(whole);
    mem_free(other);
}

static void data_that_teach_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        enum data_format format;
        const char *part;
    } cases[] = {
        {"empty.jsonl", "", DATA_COMPLETION, "data.train: no document"},
        {"blank.jsonl", "\n \n", DATA_CHAT, "data.train: no document"},
        {"empty.txt", "", DATA_TEXT, "data.train: no document"},
        {"users.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}]}\n", DATA_CHAT,
         "data.train: no supervised token is left"},
        {"prompts.jsonl", "{\"prompt\": \"0123456789abcdef\", \"completion\": \"y\"}\n", DATA_COMPLETION,
         "raise data.sequence_length"},
        {"third.jsonl", "{\"text\": \"a\"}\n\n{\"text\": 3}\n", DATA_TEXT, "third.jsonl:3: \"text\" is a number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *path = tiny_file_text(cases[i].name, cases[i].text);
        const struct data_file file = {path, cases[i].format};
        struct corpus_spec spec = spec_of(&file);
        spec.template_name = "chatml";
        check_build_fails(&spec, ERR_INPUT, cases[i].part);
        mem_free(path);
    }
    const struct data_file missing = {"/nowhere/at/all.txt", DATA_TEXT};
    struct corpus_spec spec = spec_of(&missing);
    check_build_fails(&spec, ERR_INPUT, "/nowhere/at/all.txt");
    spec.sequence_length = 1;
    check_build_fails(&spec, ERR_USAGE, "data.sequence_length is 1");
}

static void a_directory_that_is_not_there(void **state)
{
    (void)state;
    char *path = completion_file(3);
    const struct data_file file = {path, DATA_COMPLETION};
    struct corpus_spec spec = spec_of(&file);
    struct err e = {0};
    assert_int_equal(corpus_build("/nowhere/at/all/corpus", 0, &spec, tokenizer, &e), -1);
    assert_int_equal(e.code, ERR_ENVIRONMENT);
    mem_free(path);
}

static void check_damaged(const char *path, uint64_t key, const void *bytes, size_t size, const char *part)
{
    struct err e = {0};
    struct corpus *k = NULL;
    assert_done(file_write(path, bytes, size, &e), &e);
    assert_int_equal(corpus_open(&k, path, key, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.text, path));
    assert_non_null(strstr(e.text, part));
    assert_null(k);
}

/* Every length that is too short, every byte with a bit turned. */
static void damage_is_found(void **state)
{
    (void)state;
    enum { HEADER = 256 };
    char *data = completion_file(6);
    const struct data_file file = {data, DATA_COMPLETION};
    struct corpus_spec spec = spec_of(&file);
    corpus_close(corpus_of(&spec, "whole.corpus"));
    char *whole = file_join(tiny_directory(), "whole.corpus"), *path = file_join(tiny_directory(), "damaged.corpus");
    const uint64_t key = key_of(&spec);
    struct err e = {0};
    struct file_map map;
    assert_done(file_map_open(&map, whole, &e), &e);
    unsigned char *bytes = mem_alloc(map.size + 1);
    memcpy(bytes, map.data, map.size);

    for (size_t size = 0; size < map.size; size += 7)
        check_damaged(path, key, bytes, size, size < HEADER ? "header" : "size");
    check_damaged(path, key, bytes, map.size + 1, "size");
    for (size_t i = 0; i < map.size; i += 3) {
        bytes[i] ^= (unsigned char)(1 << i % 8);
        check_damaged(path, key, bytes, map.size, "");
        bytes[i] ^= (unsigned char)(1 << i % 8);
    }
    struct corpus *k = NULL;
    assert_int_equal(corpus_open(&k, whole, key + 1, &e), -1);
    assert_non_null(strstr(e.text, "other data, tokenizer or settings"));
    err_clear(&e);
    assert_int_equal(corpus_open(&k, "/nowhere/at/all", key, &e), -1);
    file_map_close(&map);
    mem_free(bytes);
    mem_free(whole);
    mem_free(path);
    mem_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_target_of_a_text_is_lost),
        cmocka_unit_test(completions_stay_whole),
        cmocka_unit_test(long_documents_are_cut_or_dropped),
        cmocka_unit_test(replaced_bytes_are_reported),
        cmocka_unit_test(splits_have_their_own_ids),
        cmocka_unit_test(pack_seed_changes_the_order_and_nothing_else),
        cmocka_unit_test(the_same_bytes_every_time),
        cmocka_unit_test(input_hash_known_answer),
        cmocka_unit_test(the_key_knows_what_packing_depends_on),
        cmocka_unit_test(data_that_teach_nothing),
        cmocka_unit_test(a_directory_that_is_not_there),
        cmocka_unit_test(damage_is_found),
    };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
