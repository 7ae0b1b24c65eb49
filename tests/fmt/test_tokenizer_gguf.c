/* Tokenizers out of GGUF metadata: each split pattern by what it does to digits and composition, merges out of scores,
 * token types, and what is refused. The files are put together here, byte by byte; ids are worked out by hand. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "fmt/gguf.h"
#include "fmt/tokenizer.h"

enum { F32 = 6, BOOL = 7, STRING = 8, ARRAY = 9, U32 = 4, I32 = 5 };

/* Metadata being written. */
struct maker {
    struct strbuf pairs;
    uint64_t count;
};

static void put_number(struct strbuf *out, uint64_t value, size_t bytes)
{
    strbuf_add(out, &value, bytes); /* little-endian, like this machine and the format */
}

static void put_string(struct strbuf *out, const char *text)
{
    put_number(out, strlen(text), 8);
    strbuf_adds(out, text);
}

static void put_key(struct maker *m, const char *key, uint32_t kind)
{
    put_string(&m->pairs, key);
    put_number(&m->pairs, kind, 4);
    m->count++;
}

static void put_text(struct maker *m, const char *key, const char *text)
{
    put_key(m, key, STRING);
    put_string(&m->pairs, text);
}

static void put_id(struct maker *m, const char *key, uint32_t id)
{
    put_key(m, key, U32);
    put_number(&m->pairs, id, 4);
}

static void put_flag(struct maker *m, const char *key, bool value)
{
    put_key(m, key, BOOL);
    put_number(&m->pairs, value, 1);
}

static void put_texts(struct maker *m, const char *key, const char *const *texts, size_t count)
{
    put_key(m, key, ARRAY);
    put_number(&m->pairs, STRING, 4);
    put_number(&m->pairs, count, 8);
    for (size_t i = 0; i < count; i++)
        put_string(&m->pairs, texts[i]);
}

static void put_types(struct maker *m, const int *types, size_t count)
{
    put_key(m, "tokenizer.ggml.token_type", ARRAY);
    put_number(&m->pairs, I32, 4);
    put_number(&m->pairs, count, 8);
    for (size_t i = 0; i < count; i++)
        put_number(&m->pairs, (uint32_t)types[i], 4);
}

static void put_scores(struct maker *m, const float *scores, size_t count)
{
    put_key(m, "tokenizer.ggml.scores", ARRAY);
    put_number(&m->pairs, F32, 4);
    put_number(&m->pairs, count, 8);
    strbuf_add(&m->pairs, scores, count * sizeof *scores);
}

/* Ends the file and reads its tokenizer; the maker may be used again. */
static int finish(struct maker *m, struct tokenizer **t, struct err *e)
{
    struct strbuf file;
    struct gguf *g = NULL;
    strbuf_init(&file);
    strbuf_adds(&file, "GGUF");
    put_number(&file, 3, 4);
    put_number(&file, 0, 8); /* tensors */
    put_number(&file, m->count, 8);
    strbuf_add(&file, m->pairs.data, m->pairs.size);
    assert_done(gguf_parse(&g, file.data, file.size, "t.gguf", e), e);
    int rc = tokenizer_from_gguf(t, g, "t.gguf", e);
    gguf_close(g);
    strbuf_release(&file);
    strbuf_release(&m->pairs);
    m->count = 0;
    return rc;
}

static struct maker start(const char *model, const char *pre)
{
    struct maker m = {0};
    strbuf_init(&m.pairs);
    put_text(&m, "tokenizer.ggml.model", model);
    if (pre)
        put_text(&m, "tokenizer.ggml.pre", pre);
    return m;
}

/* Digits, a composed character (é as its two bytes), a special, a user's own token, and one that fills up. */
static const char *const pieces[] = {
    "1",        "2",     "12",     "123",     "e", "\xc3\x8c", "\xc3\x83", "\xc2\xa9", "\xc3\x83\xc2\xa9",
    "\xc4\xa0", "<end>", "<tool>", "[PAD12]", "3", "e1",       "4",        "1234"};
static const int types[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4, 5, 1, 1, 1, 1};
static const char *const merges[] = {"1 2", "12 3", "\xc3\x83 \xc2\xa9", "e 1"};
enum { PIECES = sizeof pieces / sizeof *pieces, MERGES = sizeof merges / sizeof *merges };

static struct maker start_byte_level(const char *pre, uint32_t bos)
{
    struct maker m = start("gpt2", pre);
    put_texts(&m, "tokenizer.ggml.tokens", pieces, PIECES);
    put_types(&m, types, PIECES);
    put_texts(&m, "tokenizer.ggml.merges", merges, MERGES);
    put_id(&m, "tokenizer.ggml.bos_token_id", bos);
    put_id(&m, "tokenizer.ggml.eos_token_id", 10);
    return m;
}

static void check_ids(const struct tokenizer *t, const char *text, const uint32_t *ids, size_t count)
{
    struct token_list got = {0};
    tokenizer_encode(t, text, strlen(text), &got, NULL);
    for (size_t i = 0; i < count && i < got.count; i++)
        if (got.ids[i] != ids[i])
            fail_msg("\"%s\": id %zu is %u, not %u", text, i, got.ids[i], ids[i]);
    assert_int_equal(got.count, count);
    token_list_release(&got);
}
#define CHECK_IDS(t, text, ...) \
    check_ids(t, text, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static struct tokenizer *open_pre(const char *pre)
{
    struct err e = {0};
    struct tokenizer *t = NULL;
    struct maker m = start_byte_level(pre, 10);
    assert_done(finish(&m, &t, &e), &e);
    return t;
}

static void every_split_pattern_cuts_its_own_way(void **state)
{
    (void)state;
    struct tokenizer *t = open_pre("gpt-2"); /* all digits together */
    CHECK_IDS(t, "e1234", 4, 3, 15);
    CHECK_IDS(t, "\xc3\xa9", 8);
    tokenizer_close(t);
    t = open_pre("smollm"); /* each digit alone */
    CHECK_IDS(t, "e1234", 4, 0, 1, 13, 15);
    tokenizer_close(t);
    t = open_pre("llama-bpe"); /* three digits together; a word that is a token is that token */
    CHECK_IDS(t, "e1234", 4, 3, 15);
    CHECK_IDS(t, " 1234", 9, 3, 15);
    tokenizer_close(t);
    t = open_pre("qwen2"); /* each digit alone, and composed: e and the accent become one character */
    CHECK_IDS(t, "12", 0, 1);
    CHECK_IDS(t, "e\xcc\x81", 8);
    tokenizer_close(t);
}

static void words_that_are_tokens_are_kept_whole_by_llama_3_alone(void **state)
{
    (void)state;
    static const char *const few[] = {"a", "b", "ab"};
    static const int normal[] = {1, 1, 1};
    static const struct {
        const char *pre;
        uint32_t ids[2];
        size_t count;
    } cases[] = {{"llama-bpe", {2, 0}, 1}, {"qwen2", {0, 1}, 2}};
    for (size_t i = 0; i < 2; i++) {
        struct err e = {0};
        struct tokenizer *t = NULL;
        struct maker m = start("gpt2", cases[i].pre);
        put_texts(&m, "tokenizer.ggml.tokens", few, 3);
        put_types(&m, normal, 3);
        put_texts(&m, "tokenizer.ggml.merges", NULL, 0);
        put_id(&m, "tokenizer.ggml.bos_token_id", 0);
        assert_done(finish(&m, &t, &e), &e);
        check_ids(t, "ab", cases[i].ids, cases[i].count);
        tokenizer_close(t);
    }
}

static void types_say_what_a_token_is(void **state)
{
    (void)state;
    struct tokenizer *t = open_pre("smollm");
    CHECK_IDS(t, "1<end>2<tool>e", 0, 10, 1, 11, 4);
    assert_true(tokenizer_is_special(t, 10));
    assert_false(tokenizer_is_special(t, 11) || tokenizer_is_special(t, 0));
    assert_string_equal(tokenizer_piece(t, 11), "<tool>");
    assert_null(tokenizer_piece(t, 12)); /* it fills the matrix up */
    assert_int_equal(tokenizer_size(t), PIECES);
    assert_int_equal(tokenizer_eos(t), 10);
    assert_int_equal(tokenizer_bos(t), 10);
    tokenizer_close(t);
}

/* The kinds whose models expect it add a BOS where the file does not say. */
static void bos_is_added_where_the_model_expects_it(void **state)
{
    (void)state;
    static const char *const pres[] = {"gpt-2", "smollm", "qwen2", "llama-bpe"};
    for (int i = 0; i < 4; i++) {
        struct tokenizer *t = open_pre(pres[i]);
        assert_int_equal(tokenizer_adds_bos(t), i == 3);
        tokenizer_close(t);
    }
    for (int adds = 0; adds < 2; adds++) {
        struct err e = {0};
        struct tokenizer *t = NULL;
        struct maker m = start_byte_level(adds ? "smollm" : "llama-bpe", 10);
        put_flag(&m, "tokenizer.ggml.add_bos_token", adds);
        assert_done(finish(&m, &t, &e), &e);
        assert_int_equal(tokenizer_adds_bos(t), adds);
        tokenizer_close(t);
    }
}

/* Of "abc" ab or bc is a token; the better score decides which. */
static const char *const scored[] = {"<unk>", "<s>", "</s>", "<0x0A>", "\xe2\x96\x81", "a",
                                     "b",     "c",   "ab",   "bc",     "abb"};
static const int scored_types[] = {2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 1};
enum { SCORED = sizeof scored / sizeof *scored };

static struct maker start_scored(float ab, float bc)
{
    const float scores[SCORED] = {0, 0, 0, 0, -1, -2, -3, -4, ab, bc, -20};
    struct maker m = start("llama", NULL);
    put_texts(&m, "tokenizer.ggml.tokens", scored, SCORED);
    put_types(&m, scored_types, SCORED);
    put_scores(&m, scores, SCORED);
    put_id(&m, "tokenizer.ggml.bos_token_id", 1);
    put_id(&m, "tokenizer.ggml.eos_token_id", 2);
    put_id(&m, "tokenizer.ggml.unknown_token_id", 0);
    put_flag(&m, "tokenizer.ggml.add_bos_token", true);
    put_text(&m, "tokenizer.chat_template", "{{ \"x\" }}\n");
    return m;
}

static void scores_become_merges(void **state)
{
    (void)state;
    struct err e = {0};
    struct tokenizer *t = NULL;
    struct maker m = start_scored(-5, -6);
    assert_done(finish(&m, &t, &e), &e);
    CHECK_IDS(t, "abc", 4, 8, 7);
    CHECK_IDS(t, "abb", 4, 10);
    CHECK_IDS(t, "bc ab\n", 4, 9, 4, 8, 3);
    CHECK_IDS(t, "abbc", 4, 8, 9);          /* bc before abb */
    CHECK_IDS(t, "zz</s>a", 4, 0, 2, 4, 5); /* neighbouring unknowns are one; every part gets its own mark */
    assert_int_equal(tokenizer_bos(t), 1);
    assert_int_equal(tokenizer_eos(t), 2);
    assert_true(tokenizer_adds_bos(t));
    assert_string_equal(tokenizer_chat_template(t), "{{ \"x\" }}\n");
    const uint32_t ids[] = {1, 4, 8, 4, 7, 3};
    struct strbuf text;
    strbuf_init(&text);
    tokenizer_decode(t, ids, 6, true, &text);
    assert_string_equal(text.data, "ab c\n");
    strbuf_release(&text);
    tokenizer_close(t);

    m = start_scored(-9, -6); /* now b joins c before a can have it */
    assert_done(finish(&m, &t, &e), &e);
    CHECK_IDS(t, "bab", 4, 6, 8);
    CHECK_IDS(t, "abcb", 4, 5, 9, 6);
    tokenizer_close(t);
}

/* "abc" as ab c or as a bc. */
static struct tokenizer *open_overlap(float ab, float bc)
{
    static const char *const texts[] = {"<unk>", "\xe2\x96\x81", "a", "b", "c", "ab", "bc"};
    static const int kinds[] = {2, 1, 1, 1, 1, 1, 1};
    const float scores[] = {0, -1, -2, -3, -4, ab, bc};
    struct err e = {0};
    struct tokenizer *t = NULL;
    struct maker m = start("llama", NULL);
    put_texts(&m, "tokenizer.ggml.tokens", texts, 7);
    put_types(&m, kinds, 7);
    put_scores(&m, scores, 7);
    assert_done(finish(&m, &t, &e), &e);
    return t;
}

static void the_better_score_wins_where_pieces_overlap(void **state)
{
    (void)state;
    struct tokenizer *t = open_overlap(-5, -6);
    CHECK_IDS(t, "abc", 1, 5, 4);
    tokenizer_close(t);
    t = open_overlap(-6, -5);
    CHECK_IDS(t, "abc", 1, 2, 6);
    tokenizer_close(t);
}

static void without_the_prefix_no_mark_is_put_in_front(void **state)
{
    (void)state;
    struct err e = {0};
    struct tokenizer *t = NULL;
    struct maker m = start_scored(-5, -6);
    put_flag(&m, "tokenizer.ggml.add_space_prefix", false);
    assert_done(finish(&m, &t, &e), &e);
    CHECK_IDS(t, "ab c", 8, 4, 7);
    tokenizer_close(t);
}

static void what_is_written_opens_as_the_same_tokenizer(void **state)
{
    (void)state;
    struct err e = {0};
    struct tokenizer *t = NULL, *again = NULL;
    char directory[] = "/tmp/retort-tokenizer-XXXXXX";
    struct maker m = start_scored(-5, -6);
    assert_non_null(mkdtemp(directory));
    assert_done(finish(&m, &t, &e), &e);
    assert_done(tokenizer_write(t, directory, &e), &e);
    assert_done(tokenizer_open(&again, directory, &e), &e);
    assert_true(tokenizer_hash(t) == tokenizer_hash(again));
    assert_done(tokenizer_compare(t, "one", again, "two", &e), &e);
    assert_int_equal(tokenizer_bos(again), 1);
    assert_int_equal(tokenizer_eos(again), 2);
    assert_true(tokenizer_adds_bos(again));
    assert_string_equal(tokenizer_chat_template(again), "{{ \"x\" }}\n");
    CHECK_IDS(again, "abc", 4, 8, 7);
    tokenizer_close(t);
    tokenizer_close(again);
    assert_done(file_remove_tree(directory, &e), &e);
}

static void check_refused(struct maker *m, const char *words)
{
    struct err e = {0};
    struct tokenizer *t = NULL;
    assert_int_equal(finish(m, &t, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    if (strncmp(e.text, "t.gguf", 6) || !strstr(e.text, words) || strchr(e.text, '\n'))
        fail_msg("\"%s\" does not say \"%s\"", e.text, words);
}

static void what_we_do_not_have_is_refused_by_name(void **state)
{
    (void)state;
    struct maker m = start("bert", NULL);
    check_refused(&m, "tokenizer.ggml.model is \"bert\"");
    m = start_byte_level("jais-2", 10);
    check_refused(&m, "tokenizer.ggml.pre jais-2 is not supported");
    m = start_byte_level(NULL, 10);
    check_refused(&m, "tokenizer.ggml.pre (missing)");
    m = start_scored(-5, -6);
    put_texts(&m, "tokenizer.ggml.precompiled_charsmap", pieces, 1);
    check_refused(&m, "precompiled_charsmap is not supported");
}

static void broken_lists_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"a", "\xff"}, *const twice[] = {"a", "a"}, *const odd[] = {"1 2 3"};
    struct maker m = start("gpt2", "smollm");
    check_refused(&m, "tokenizer.ggml.tokens: expected an array");
    m = start("gpt2", "smollm");
    put_texts(&m, "tokenizer.ggml.tokens", pieces, PIECES);
    put_types(&m, types, PIECES - 1);
    check_refused(&m, "tokenizer.ggml.token_type: expected one number for each");
    m = start("gpt2", "smollm");
    put_texts(&m, "tokenizer.ggml.tokens", bad, 2);
    put_types(&m, types, 2);
    check_refused(&m, "tokenizer.ggml.tokens[1] is empty or no UTF-8");
    m = start("llama", NULL);
    put_texts(&m, "tokenizer.ggml.tokens", twice, 2);
    put_types(&m, types, 2);
    put_id(&m, "tokenizer.ggml.bos_token_id", 0);
    check_refused(&m, "tokenizer.ggml.tokens[1], \"a\", is there twice");
    m = start("llama", NULL);
    put_texts(&m, "tokenizer.ggml.tokens", pieces, 2);
    put_types(&m, types, 2);
    put_id(&m, "tokenizer.ggml.bos_token_id", 0);
    check_refused(&m, "tokenizer.ggml.scores[0] is missing");
    m = start("gpt2", "smollm");
    put_texts(&m, "tokenizer.ggml.tokens", pieces, PIECES);
    put_types(&m, types, PIECES);
    check_refused(&m, "tokenizer.ggml.merges is missing");
    m = start("gpt2", "smollm");
    put_texts(&m, "tokenizer.ggml.tokens", pieces, PIECES);
    put_types(&m, types, PIECES);
    put_texts(&m, "tokenizer.ggml.merges", odd, 1);
    check_refused(&m, "model.merges[0]");
    static const uint32_t nowhere[] = {12, PIECES, 4000000000};
    for (int i = 0; i < 3; i++) {
        m = start_byte_level("llama-bpe", nowhere[i]);
        check_refused(&m, "tokenizer.ggml.bos_token_id names no token");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_split_pattern_cuts_its_own_way),
        cmocka_unit_test(words_that_are_tokens_are_kept_whole_by_llama_3_alone),
        cmocka_unit_test(types_say_what_a_token_is),
        cmocka_unit_test(bos_is_added_where_the_model_expects_it),
        cmocka_unit_test(scores_become_merges),
        cmocka_unit_test(the_better_score_wins_where_pieces_overlap),
        cmocka_unit_test(without_the_prefix_no_mark_is_put_in_front),
        cmocka_unit_test(what_is_written_opens_as_the_same_tokenizer),
        cmocka_unit_test(what_we_do_not_have_is_refused_by_name),
        cmocka_unit_test(broken_lists_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
