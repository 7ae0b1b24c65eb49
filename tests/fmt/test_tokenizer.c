/* tokenizer.json and the files beside it: what is refused and by which words, BOS and EOS, chat templates, comparison,
 * hash, and the files that are written. Ids are worked out by hand from the small vocabulary below. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "fmt/tokenizer.h"

/* Parts of a tokenizer.json; a test takes one of them out and puts its own in. */
#define ADDED                                                                                         \
    "{\"id\":6,\"content\":\"<s>\",\"special\":true,\"normalized\":false},{\"id\":7,\"content\":\"</" \
    "s>\",\"special\":true,\"normalized\":false}"
#define VOCAB "\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"abc\":4,\"\\u0120\":5"
#define MERGES "[\"a\",\"b\"],[\"ab\",\"c\"]"
#define BYTES "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}"
#define MODEL(vocab, merges) "{\"type\":\"BPE\",\"vocab\":{" vocab "},\"merges\":[" merges "]}"
#define JSON(added, normalizer, pre, post, decoder, model)                                                   \
    "{\"version\":\"1.0\",\"added_tokens\":[" added "],\"normalizer\":" normalizer ",\"pre_tokenizer\":" pre \
    ",\"post_processor\":" post ",\"decoder\":" decoder ",\"model\":" model "}"
#define TEMPLATE                                                                                                     \
    "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":"  \
    "{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[6],\"tokens\":" \
    "[\"<s>\"]}}}"
#define GOOD JSON(ADDED, "null", BYTES, "null", BYTES, MODEL(VOCAB, MERGES))

static struct tokenizer *parse(const char *json)
{
    struct err e = {0};
    struct tokenizer *t = NULL;
    assert_done(tokenizer_from_json(&t, json, strlen(json), "t.json", &e), &e);
    return t;
}

static void check_ids(const struct tokenizer *t, const char *text, const uint32_t *ids, size_t count)
{
    struct token_list got = {0};
    tokenizer_encode(t, text, strlen(text), &got, NULL);
    assert_int_equal(got.count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(got.ids[i], ids[i]);
    token_list_release(&got);
}
#define CHECK_IDS(t, text, ...) \
    check_ids(t, text, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void words_become_ids_and_text_again(void **state)
{
    (void)state;
    struct tokenizer *t = parse(GOOD);
    CHECK_IDS(t, "abc", 4);
    CHECK_IDS(t, "abcab cba<s>a</s>", 4, 3, 5, 2, 1, 0, 6, 0, 7);
    CHECK_IDS(t, "xaz", 0); /* no token and no unknown token: it vanishes */
    check_ids(t, "", NULL, 0);
    const uint32_t ids[] = {6, 4, 5, 99, UINT32_MAX, 3};
    struct strbuf text;
    strbuf_init(&text);
    tokenizer_decode(t, ids, 6, false, &text);
    assert_string_equal(text.data, "<s>abc ab");
    tokenizer_decode(t, ids, 6, true, &text);
    assert_string_equal(text.data, "<s>abc ababc ab");
    strbuf_release(&text);
    tokenizer_close(t);
    tokenizer_close(NULL);
}

static void replaced_bytes_are_counted(void **state)
{
    (void)state;
    struct tokenizer *t = parse(GOOD);
    struct token_list ids = {0};
    size_t replaced = 99;
    tokenizer_encode(t,
                     "a\xff\xe4\xb8"
                     "b",
                     5, &ids, &replaced);
    assert_int_equal(replaced, 2);
    tokenizer_encode(t, "a", 1, &ids, &replaced);
    assert_int_equal(replaced, 0);
    assert_int_equal(ids.count, 3); /* a, b, and the a that was appended */
    token_list_release(&ids);
    tokenizer_close(t);
}

static void the_vocabulary_can_be_asked(void **state)
{
    (void)state;
    struct tokenizer *t = parse(JSON("{\"id\":3,\"content\":\"<x>\",\"special\":false}", "null", "null", "null", "null",
                                     MODEL("\"a\":0,\"b\":1,\"c\":4", "")));
    uint32_t id = 99;
    assert_int_equal(tokenizer_size(t), 5);
    assert_null(tokenizer_piece(t, 2));
    assert_null(tokenizer_piece(t, 5));
    assert_string_equal(tokenizer_piece(t, 3), "<x>");
    assert_string_equal(tokenizer_piece(t, 4), "c");
    assert_false(tokenizer_is_special(t, 3) || tokenizer_is_special(t, 99));
    assert_true(tokenizer_find(t, "<x>", &id) && id == 3);
    assert_true(tokenizer_find(t, "c", &id) && id == 4);
    assert_false(tokenizer_find(t, "ab", &id));
    assert_int_equal(id, 4); /* untouched */
    assert_int_equal(tokenizer_bos(t), -1);
    assert_int_equal(tokenizer_eos(t), -1);
    assert_null(tokenizer_chat_template(t));
    tokenizer_close(t);
}

/* Runs of one character: no cut is possible, and the list of pairs is long. */
static void a_long_run_is_merged(void **state)
{
    (void)state;
    struct tokenizer *t =
        parse(JSON("", "null", "null", "null", "null", MODEL("\"a\":0,\"aa\":1,\"aaaa\":2", "\"a a\",\"aa aa\"")));
    enum { SIZE = 1 << 18 };
    char *text = mem_alloc(SIZE + 3);
    struct token_list ids = {0};
    memset(text, 'a', SIZE + 3);
    tokenizer_encode(t, text, SIZE + 3, &ids, NULL);
    assert_int_equal(ids.count, SIZE / 4 + 2);
    for (size_t i = 0; i < SIZE / 4; i++)
        assert_int_equal(ids.ids[i], 2);
    assert_int_equal(ids.ids[SIZE / 4], 1);
    assert_int_equal(ids.ids[SIZE / 4 + 1], 0);
    token_list_release(&ids);
    mem_free(text);
    tokenizer_close(t);
}

struct small {
    const char *json, *text;
    uint32_t ids[8];
    size_t count;
};
#define SMALL_VOCAB "\"a\":0,\"b\":1,\"c\":2,\"aa\":3,\"_\":4"
#define FLAGS(flags, vocab, merges) "{\"type\":\"BPE\"," flags ",\"vocab\":{" vocab "},\"merges\":[" merges "]}"
#define BARE(added, pre, model) JSON(added, "null", pre, "null", "null", model)

/* Corners, each with the ids that `tokenizers` 0.23 gives. */
static void corners_are_those_of_tokenizers(void **state)
{
    (void)state;
    static const struct small cases[] = {
        /* a word that is none because of its neighbour hides the token inside it */
        {BARE("{\"id\":5,\"content\":\"abc!\",\"single_word\":true},{\"id\":6,\"content\":\"c!\"}", "null",
              MODEL(SMALL_VOCAB, "")),
         "abc!a abc! c!",
         {0, 1, 2, 0, 5, 6},
         6},
        /* only the first of the pieces of a split is at the beginning */
        {BARE("",
              "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"String\":\"b\"},"
              "\"behavior\":"
              "\"Isolated\",\"invert\":false},{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":"
              "\"first\"}]}",
              MODEL(SMALL_VOCAB, "")),
         "aba a",
         {4, 0, 1, 0, 4, 0},
         6},
        /* the second of two matches has no previous piece */
        {BARE(
             "",
             "{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"MergedWithPrevious\",\"invert\":false}",
             MODEL(SMALL_VOCAB, "\"a a\"")),
         "baab",
         {1, 0, 0, 1},
         4},
        /* merges with the token of a byte and with the unknown one: a word must not be cut there */
        {BARE("", "null",
              FLAGS("\"byte_fallback\":true", "\"<0x0A>\":0,\"a\":1,\"<0x0A>a\":2,\"b\":3", "[\"<0x0A>\",\"a\"]")),
         "b\na\nb\na",
         {3, 2, 0, 3, 2},
         5},
        {BARE("", "null",
              FLAGS("\"unk_token\":\"<u>\",\"fuse_unk\":true", "\"<u>\":0,\"a\":1,\"<u>a\":2,\"b\":3",
                    "[\"<u>\",\"a\"]")),
         "bzzazb",
         {3, 2, 0, 3},
         4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tokenizer *t = parse(cases[i].json);
        check_ids(t, cases[i].text, cases[i].ids, cases[i].count);
        tokenizer_close(t);
    }
}

/* It is sought as the normaliser makes it, comes back so, and is then no special token any more. */
static void a_normalised_special_token_comes_back_normalised(void **state)
{
    (void)state;
    struct tokenizer *t = parse(JSON("{\"id\":5,\"content\":\"a b\",\"special\":true,\"normalized\":true}",
                                     "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"_\"}", "null",
                                     "null", "null", MODEL(SMALL_VOCAB, "")));
    const uint32_t ids[] = {2, 5, 2};
    struct strbuf text;
    strbuf_init(&text);
    check_ids(t, "ca bc", ids, 3);
    tokenizer_decode(t, ids, 3, true, &text);
    assert_string_equal(text.data, "c a_b c");
    strbuf_release(&text);
    tokenizer_close(t);
}

struct refusal {
    const char *json, *words;
};

static void check_refused(const struct refusal *r, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct err e = {0};
        struct tokenizer *t = NULL;
        if (!tokenizer_from_json(&t, r[i].json, strlen(r[i].json), "t.json", &e))
            fail_msg("taken: %s", r[i].json);
        assert_null(t);
        assert_int_equal(e.code, ERR_INPUT);
        if (strncmp(e.text, "t.json", 6) || !strstr(e.text, r[i].words) || strchr(e.text, '\n'))
            fail_msg("\"%s\" does not say \"%s\"", e.text, r[i].words);
    }
}

#define NORMALIZER(n) JSON(ADDED, n, BYTES, "null", BYTES, MODEL(VOCAB, MERGES))
#define PRE(p) JSON(ADDED, "null", p, "null", BYTES, MODEL(VOCAB, MERGES))
#define POST(p) JSON(ADDED, "null", BYTES, p, BYTES, MODEL(VOCAB, MERGES))
#define DECODER(d) JSON(ADDED, "null", BYTES, "null", d, MODEL(VOCAB, MERGES))
#define WITH_MODEL(m) JSON(ADDED, "null", BYTES, "null", BYTES, m)
#define WITH_ADDED(a) JSON(a, "null", BYTES, "null", BYTES, MODEL(VOCAB, MERGES))
#define BPE(more) "{\"type\":\"BPE\"," more ",\"vocab\":{" VOCAB "},\"merges\":[" MERGES "]}"
#define SPLIT(pattern, rest) "{\"type\":\"Split\",\"pattern\":" pattern ",\"behavior\":" rest "}"

static void what_we_do_not_have_is_refused_by_name(void **state)
{
    (void)state;
    static const struct refusal refused[] = {
        {NORMALIZER("{\"type\":\"Lowercase\"}"), "normalizer Lowercase is not supported"},
        {NORMALIZER("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"NFKC\"}]}"),
         "normalizer NFKC"},
        {PRE("{\"type\":\"BertPreTokenizer\"}"), "pre_tokenizer BertPreTokenizer is not supported"},
        {PRE("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"UnicodeScripts\"}]}"),
         "pre_tokenizer UnicodeScripts"},
        {POST("{\"type\":\"RobertaProcessing\"}"), "post_processor RobertaProcessing is not supported"},
        {POST("{\"type\":\"Sequence\",\"processors\":[{\"type\":\"BertProcessing\"}]}"),
         "post_processor BertProcessing"},
        {DECODER("{\"type\":\"WordPiece\"}"), "decoder WordPiece is not supported"},
        {DECODER("{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"CTC\"}]}"), "decoder CTC is not supported"},
        {WITH_MODEL("{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}"), "model WordPiece is not supported"},
        {WITH_MODEL(BPE("\"dropout\":0.1")), "model.dropout is 0.1"},
        {WITH_MODEL(BPE("\"continuing_subword_prefix\":\"##\"")), "model.continuing_subword_prefix"},
        {WITH_MODEL(BPE("\"end_of_word_suffix\":\"</w>\"")), "model.end_of_word_suffix"},
        {PRE(SPLIT("{\"Regex\":\"a(?#b)\"}", "\"Isolated\"")),
         "pre_tokenizer Split: the pattern a(?#b) cannot be used"},
    };
    check_refused(refused, sizeof refused / sizeof *refused);
}

static void what_is_broken_is_refused(void **state)
{
    (void)state;
    static const struct refusal refused[] = {
        {"", "not valid JSON"},
        {"[1]", "expected a JSON object"},
        {"{\"a\":", "not valid JSON"},
        {"{}", "model is missing"},
        {"{\"model\":3}", "model is 3"},
        {"{\"model\":{}}", "model.vocab"},
        {WITH_MODEL(MODEL("\"a\":0,\"b\":0", "")), "model.vocab: \"b\""},
        {WITH_MODEL(MODEL("\"a\":-1", "")), "model.vocab: the id of \"a\""},
        {WITH_MODEL(MODEL("\"a\":4000000000", "")), "model.vocab: the id of \"a\""},
        {WITH_MODEL(MODEL("\"a\":\"x\"", "")), "model.vocab: the id of \"a\""},
        {WITH_MODEL(MODEL("\"a\":0,\"\":1", "")), "is empty"},
        {WITH_MODEL("{\"type\":\"BPE\",\"vocab\":{\"a\":0}}"), "model.merges: expected a list"},
        {WITH_MODEL(MODEL(VOCAB, "\"a c\"")), "model.merges[0]: \"a\", \"c\""},
        {WITH_MODEL(MODEL(VOCAB, "\"a b\",\"abc\"")), "model.merges[1]: expected"},
        {WITH_MODEL(MODEL(VOCAB, "\"a b c\"")), "model.merges[0]: expected"},
        {WITH_MODEL(MODEL(VOCAB, "[\"a\",\"b\",\"c\"]")), "model.merges[0]: expected"},
        {WITH_MODEL(MODEL(VOCAB, "[\"a\",3]")), "model.merges[0]: expected"},
        {WITH_MODEL(BPE("\"unk_token\":\"<unk>\"")), "model.unk_token"},
        {WITH_MODEL(BPE("\"byte_fallback\":1")), "model.byte_fallback"},
        {WITH_ADDED("3"), "added_tokens: expected objects"},
        {WITH_ADDED("{\"id\":6}"), "added_tokens[].content is missing"},
        {WITH_ADDED("{\"id\":9,\"content\":\"<s>\"}"), "\"<s>\" has the id 9, but the library gives it 6"},
        {WITH_ADDED("{\"id\":6,\"content\":\"ab\"}"), "\"ab\" has the id 6, but the library gives it 3"},
        {WITH_ADDED("{\"id\":3,\"content\":\"ab\"},{\"id\":3,\"content\":\"ab\"}"), "\"ab\" is there twice"},
        {WITH_ADDED("{\"id\":6,\"content\":\"<s>\",\"lstrip\":\"yes\"}"), "added_tokens[].lstrip"},
        {PRE("[]"), "pre_tokenizer: expected an object"},
        {PRE("{\"type\":7}"), "pre_tokenizer.type"},
        {PRE("{\"type\":\"ByteLevel\"}"), "pre_tokenizer.add_prefix_space is missing"},
        {PRE("{\"type\":\"Sequence\"}"), "pre_tokenizer.pretokenizers is missing"},
        {PRE(SPLIT("{\"Regex\":\"\"}", "\"Isolated\"")), "pre_tokenizer.pattern"},
        {PRE(SPLIT("{\"Regex\":\"a\"}", "\"Sideways\"")), "pre_tokenizer.behavior is \"Sideways\""},
        {PRE("{\"type\":\"Metaspace\",\"replacement\":\"ab\"}"), "pre_tokenizer.replacement"},
        {PRE("{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"often\"}"),
         "pre_tokenizer.prepend_scheme"},
        {NORMALIZER("{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"}}"), "normalizer.content is missing"},
        {NORMALIZER("{\"type\":\"Prepend\"}"), "normalizer.prepend is missing"},
        {DECODER("{\"type\":\"Strip\",\"content\":\" \",\"start\":-1,\"stop\":0}"), "decoder.start is -1"},
        {POST("{\"type\":\"TemplateProcessing\",\"single\":3}"), "post_processor.single"},
        {POST("{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}},{\"Sequence\":{}}],"
              "\"special_tokens\":{\"<s>\":{\"ids\":[99]}}}"),
         "post_processor.special_tokens"},
        {POST("{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}},{\"SpecialToken\":{"
              "\"id\":"
              "\"<s>\"}}]}"),
         "at most one token"},
    };
    check_refused(refused, sizeof refused / sizeof *refused);
}

static void a_cut_file_is_refused_at_every_place(void **state)
{
    (void)state;
    static const char whole[] = GOOD;
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        struct err e = {0};
        struct tokenizer *t = NULL;
        char *cut = mem_alloc(n);
        memcpy(cut, whole, n);
        assert_int_equal(tokenizer_from_json(&t, cut, n, "cut.json", &e), -1);
        assert_int_equal(e.code, ERR_INPUT);
        mem_free(cut);
    }
}

/* A model directory that holds these files; NULL: not there. */
struct directory {
    char path[40];
};

static void put(const struct directory *d, const char *name, const char *text)
{
    struct err e = {0};
    char *path = file_join(d->path, name);
    assert_done(file_write(path, text, strlen(text), &e), &e);
    mem_free(path);
}

static struct directory make_directory(const char *json)
{
    struct directory d = {"/tmp/retort-tokenizer-XXXXXX"};
    assert_non_null(mkdtemp(d.path));
    put(&d, "tokenizer.json", json);
    return d;
}

static void remove_directory(const struct directory *d)
{
    struct err e = {0};
    assert_done(file_remove_tree(d->path, &e), &e);
}

static struct tokenizer *open_directory(const struct directory *d)
{
    struct err e = {0};
    struct tokenizer *t = NULL;
    assert_done(tokenizer_open(&t, d->path, &e), &e);
    return t;
}

static void check_specials(const struct directory *d, int64_t bos, int64_t eos, bool adds_bos)
{
    struct tokenizer *t = open_directory(d);
    assert_int_equal(tokenizer_bos(t), bos);
    assert_int_equal(tokenizer_eos(t), eos);
    assert_int_equal(tokenizer_adds_bos(t), adds_bos);
    tokenizer_close(t);
}

static void the_files_beside_name_bos_and_eos(void **state)
{
    (void)state;
    struct directory d = make_directory(GOOD);
    check_specials(&d, -1, -1, false);
    put(&d, "config.json", "{\"bos_token_id\":6,\"eos_token_id\":[4,7]}");
    check_specials(&d, 6, 4, false);
    put(&d, "generation_config.json", "{\"eos_token_id\":7}");
    check_specials(&d, 6, 7, false);
    put(&d, "special_tokens_map.json", "{\"eos_token\":{\"content\":\"ab\",\"lstrip\":false}}");
    check_specials(&d, 6, 3, false);
    put(&d, "tokenizer_config.json",
        "{\"bos_token\":null,\"eos_token\":\"</s>\",\"model_max_length\":1000000000000000019884624838656}");
    check_specials(&d, -1, 7, false); /* null is an answer, too */
    put(&d, "tokenizer_config.json",
        "{\"add_bos_token\":true,\"bos_token\":{\"__type\":\"AddedToken\",\"content\":\"<s>\"}}");
    check_specials(&d, 6, 3, true);
    remove_directory(&d);
}

static void a_post_processor_adds_bos_unless_the_config_says_no(void **state)
{
    (void)state;
    struct directory d = make_directory(POST(TEMPLATE));
    check_specials(&d, 6, -1, true);
    put(&d, "tokenizer_config.json", "{\"bos_token\":\"<s>\",\"add_bos_token\":false}");
    check_specials(&d, 6, -1, false);
    put(&d, "tokenizer.json", POST("{\"type\":\"Sequence\",\"processors\":[" BYTES "," TEMPLATE "]}"));
    put(&d, "tokenizer_config.json", "{\"eos_token\":\"</s>\"}");
    check_specials(&d, 6, 7, true);
    remove_directory(&d);
}

static void check_directory_refused(const struct directory *d, const char *words)
{
    struct err e = {0};
    struct tokenizer *t = NULL;
    assert_int_equal(tokenizer_open(&t, d->path, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    if (!strstr(e.text, words) || strncmp(e.text, d->path, strlen(d->path)))
        fail_msg("\"%s\" does not say \"%s\"", e.text, words);
}

static void broken_files_beside_are_refused(void **state)
{
    (void)state;
    struct directory d = make_directory(GOOD);
    put(&d, "tokenizer_config.json", "{\"bos_token\":\"<nowhere>\"}");
    check_directory_refused(&d, "tokenizer_config.json: bos_token is \"<nowhere>\"");
    put(&d, "tokenizer_config.json", "{\"bos_token\":5}");
    check_directory_refused(&d, "bos_token is 5");
    put(&d, "tokenizer_config.json", "{\"add_bos_token\":true}");
    check_directory_refused(&d, "add_bos_token is true");
    put(&d, "tokenizer_config.json", "{\"chat_template\":5}");
    check_directory_refused(&d, "chat_template is 5");
    put(&d, "tokenizer_config.json", "{\"a\":");
    check_directory_refused(&d, "tokenizer_config.json:1: expected a JSON object");
    put(&d, "tokenizer_config.json", "{}");
    put(&d, "chat_template.jinja", "\xff");
    check_directory_refused(&d, "chat_template.jinja: expected a text in UTF-8");
    remove_directory(&d);
    assert_int_equal(mkdir(d.path, 0700), 0);
    check_directory_refused(&d, "tokenizer.json: there is no such file");
    remove_directory(&d);
}

static void check_template(const struct directory *d, const char *expected)
{
    struct tokenizer *t = open_directory(d);
    assert_string_equal(tokenizer_chat_template(t), expected);
    tokenizer_close(t);
}

static void the_default_chat_template_is_found(void **state)
{
    (void)state;
    struct directory d = make_directory(GOOD);
    put(&d, "tokenizer_config.json", "{\"chat_template\":\"{{one}}\"}");
    check_template(&d, "{{one}}");
    put(&d, "tokenizer_config.json",
        "{\"chat_template\":[{\"name\":\"tools\",\"template\":\"no\"},{\"name\":\"default\","
        "\"template\":\"yes\"}]}");
    check_template(&d, "yes");
    put(&d, "chat_template.jinja", "{{file}}\n");
    check_template(&d, "{{file}}\n");
    remove_directory(&d);
}

static void what_is_written_is_what_was_read(void **state)
{
    (void)state;
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                        "chat_template.jinja"};
    struct err e = {0};
    struct directory d = make_directory(POST(TEMPLATE));
    put(&d, "tokenizer_config.json", "{ \"eos_token\": \"</s>\" }\n");
    put(&d, "special_tokens_map.json", "{}");
    put(&d, "chat_template.jinja", "{{x}}");
    struct tokenizer *t = open_directory(&d);
    char *copy = file_join(d.path, "deep/copy");
    assert_done(tokenizer_write(t, copy, &e), &e);
    for (int i = 0; i < 4; i++) {
        struct file_map one = {0}, two = {0};
        char *from = file_join(d.path, names[i]), *to = file_join(copy, names[i]);
        assert_done(file_map_open(&one, from, &e) || file_map_open(&two, to, &e), &e);
        assert_int_equal(one.size, two.size);
        assert_memory_equal(one.data, two.data, one.size);
        file_map_close(&one);
        file_map_close(&two);
        mem_free(from);
        mem_free(to);
    }
    struct tokenizer *again = NULL;
    assert_done(tokenizer_open(&again, copy, &e), &e);
    assert_true(tokenizer_hash(again) == tokenizer_hash(t));
    tokenizer_close(again);
    char *blocked = file_join(copy, "tokenizer.json/below");
    assert_int_equal(tokenizer_write(t, blocked, &e), -1);
    assert_int_equal(e.code, ERR_ENVIRONMENT);
    mem_free(blocked);
    mem_free(copy);
    tokenizer_close(t);
    remove_directory(&d);
}

static int compare(const char *json, struct err *e)
{
    struct tokenizer *a = parse(GOOD), *b = parse(json);
    int rc = tokenizer_compare(a, "teacher", b, "student", e);
    tokenizer_close(a);
    tokenizer_close(b);
    return rc;
}

static void tokenizers_are_compared_id_by_id(void **state)
{
    (void)state;
    struct err e = {0};
    assert_done(compare(GOOD, &e), &e);
    /* ids that only one has are no difference */
    assert_done(compare(WITH_ADDED(ADDED ",{\"id\":8,\"content\":\"<more>\",\"special\":true}"), &e), &e);
    assert_done(compare(JSON("", "null", BYTES, "null", BYTES, MODEL("\"a\":0,\"b\":1", "")), &e), &e);
    assert_int_equal(compare(JSON("", "null", BYTES, "null", BYTES, MODEL("\"a\":0,\"c\":1,\"b\":2", "")), &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.text, "token 1 is \"b\" in teacher and \"c\" in student"));
    err_clear(&e);
    assert_int_equal(compare(WITH_ADDED("{\"id\":6,\"content\":\"<s>\"}"), &e), -1);
    assert_non_null(strstr(e.text, "token 6, \"<s>\", is a special token in teacher and not in student"));
}

static uint64_t hash_of(const char *json)
{
    struct tokenizer *t = parse(json);
    uint64_t hash = tokenizer_hash(t);
    tokenizer_close(t);
    return hash;
}

static void the_hash_knows_all_that_decides_ids(void **state)
{
    (void)state;
    const uint64_t good = hash_of(GOOD);
    static const char *const others[] = {
        WITH_MODEL(MODEL("\"a\":1,\"b\":0,\"c\":2,\"ab\":3,\"abc\":4,\"\\u0120\":5", MERGES)),
        WITH_MODEL(MODEL(VOCAB, "[\"ab\",\"c\"],[\"a\",\"b\"]")),
        WITH_MODEL(BPE("\"ignore_merges\":true")),
        WITH_ADDED(
            "{\"id\":6,\"content\":\"<s>\",\"special\":true,\"normalized\":false},{\"id\":7,\"content\":\"</s>\","
            "\"special\":true,\"normalized\":false,\"lstrip\":true}"),
        NORMALIZER("{\"type\":\"NFC\"}"),
        PRE("null"),
    };
    assert_true(hash_of(GOOD) == good);
    assert_true(hash_of(DECODER("null")) == good); /* which decides text, not ids */
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_true(hash_of(others[i]) != good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_become_ids_and_text_again),
        cmocka_unit_test(replaced_bytes_are_counted),
        cmocka_unit_test(the_vocabulary_can_be_asked),
        cmocka_unit_test(a_long_run_is_merged),
        cmocka_unit_test(corners_are_those_of_tokenizers),
        cmocka_unit_test(a_normalised_special_token_comes_back_normalised),
        cmocka_unit_test(what_we_do_not_have_is_refused_by_name),
        cmocka_unit_test(what_is_broken_is_refused),
        cmocka_unit_test(a_cut_file_is_refused_at_every_place),
        cmocka_unit_test(the_files_beside_name_bos_and_eos),
        cmocka_unit_test(a_post_processor_adds_bos_unless_the_config_says_no),
        cmocka_unit_test(broken_files_beside_are_refused),
        cmocka_unit_test(the_default_chat_template_is_found),
        cmocka_unit_test(what_is_written_is_what_was_read),
        cmocka_unit_test(tokenizers_are_compared_id_by_id),
        cmocka_unit_test(the_hash_knows_all_that_decides_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
