/* Documents: what is added, what is supervised, which lines are refused and how the refusal names them. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "data/document.h"
#include "data/tiny.h"

static struct tokenizer *plain, *with_bos;

static int open_tokenizers(void **state)
{
    (void)state;
    plain = tiny_open(&(struct tiny_options){0});
    with_bos = tiny_open(&(struct tiny_options){.adds_bos = true});
    return 0;
}

static int close_tokenizers(void **state)
{
    tokenizer_close(plain);
    tokenizer_close(with_bos);
    return tiny_remove_directory(state);
}

static struct document_rules rules_of(const struct tokenizer *t, const char *template_name, bool append_eos)
{
    struct err e = {0};
    struct document_rules r = {0};
    assert_done(document_rules_init(&r, t, template_name != NULL, template_name, NULL, append_eos, &e), &e);
    return r;
}

/* marked: the text with what is supervised between { and }; the test's own encoder says which ids that is. */
static void check_document(const struct document *d, const char *marked)
{
    size_t room = strlen(marked) + 1, count = 0;
    uint32_t *ids = mem_array(room, sizeof *ids);
    unsigned char *supervised = mem_array(room, 1);
    bool inside = false;
    for (const char *at = marked; *at;) {
        size_t n = strcspn(at, inside ? "}" : "{");
        size_t added = tiny_encode(at, n, ids + count);
        memset(supervised + count, inside, added);
        count += added;
        at += n;
        if (*at) {
            inside = !inside;
            at++;
        }
    }
    assert_int_equal(d->ids.count, count);
    assert_memory_equal(d->ids.ids, ids, count * sizeof *ids);
    assert_memory_equal(d->supervised, supervised, count);
    mem_free(ids);
    mem_free(supervised);
}

static void check_text(const struct tokenizer *t, bool append_eos, const char *text, const char *marked)
{
    struct document_rules r = rules_of(t, NULL, append_eos);
    struct document d = {0};
    document_from_text(&d, &r, text, strlen(text));
    assert_false(d.whole);
    check_document(&d, marked);
    document_release(&d);
}

static void text_gets_bos_and_eos(void **state)
{
    (void)state;
    check_text(plain, true, "the cat", "th{e cat</s>}");
    check_text(plain, false, "the cat", "th{e cat}");
    check_text(with_bos, true, "the cat", "<s>{the cat</s>}");
    check_text(with_bos, true, "", "<s>{</s>}");
    check_text(plain, true, "", "</s>");
}

static void check_json(const struct tokenizer *t, const char *template_name, enum data_format format, const char *line,
                       const char *marked)
{
    struct document_rules r = rules_of(t, template_name, true);
    struct document d = {0};
    struct err e = {0};
    assert_done(document_from_json(&d, &r, format, line, strlen(line), &e), &e);
    assert_int_equal(d.whole, format != DATA_TEXT);
    check_document(&d, marked);
    document_release(&d);
}

/* Prompt and completion are encoded apart: "t" and "h" stay two tokens. */
static void only_the_completion_is_supervised(void **state)
{
    (void)state;
    struct document_rules r = rules_of(plain, NULL, true);
    struct document d = {0};
    struct err e = {0};
    const char *line = "{\"prompt\": \"at\", \"completion\": \"hi\", \"id\": 7}";
    assert_done(document_from_json(&d, &r, DATA_COMPLETION, line, strlen(line), &e), &e);
    const uint32_t ids[] = {'a', 't', 'h', 'i', TINY_EOS};
    const unsigned char supervised[] = {0, 0, 1, 1, 1};
    assert_int_equal(d.ids.count, 5);
    assert_memory_equal(d.ids.ids, ids, sizeof ids);
    assert_memory_equal(d.supervised, supervised, sizeof supervised);
    document_release(&d);

    check_json(with_bos, NULL, DATA_COMPLETION, "{\"prompt\": \"\", \"completion\": \"x\"}", "<s>{x</s>}");
    check_json(plain, NULL, DATA_COMPLETION, "{\"prompt\": \"\", \"completion\": \"xy\"}", "x{y</s>}");
    check_json(plain, NULL, DATA_TEXT, "{\"text\": \"a\\ud83d\\ude42\"}\r", "a{\xf0\x9f\x99\x82</s>}");
}

static void answers_are_supervised(void **state)
{
    (void)state;
    const char *line =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"q1\"}, {\"role\": \"assistant\", \"content\": "
        "\"a1\"}, {\"role\": \"user\", \"content\": \"q2\"}, {\"role\": \"assistant\", \"content\": \"a2\"}]}";
    check_json(plain, "chatml", DATA_CHAT, line,
               "<|im_start|>user\nq1<|im_end|>\n<|im_start|>assistant\n{a1<|im_end|>}\n<|im_start|>user\nq2<|im_end|>\n"
               "<|im_start|>assistant\n{a2<|im_end|>}\n");
    check_json(plain, "llama2", DATA_CHAT, line, "<s>[INST] q1 [/INST]{ a1 </s>}<s>[INST] q2 [/INST]{ a2 </s>}");
}

/* A token that reaches from the header into the answer is the answer's. */
static void a_token_across_the_bound_is_supervised(void **state)
{
    (void)state;
    const char *line = "{\"messages\": [{\"role\": \"assistant\", \"content\": \"\\nx\"}]}";
    check_json(plain, "chatml", DATA_CHAT, line, "<|im_start|>assistant{\n\nx<|im_end|>}\n");
}

/* One more question and its answer. Some answers begin with what merges with their header, some are empty, and some
 * hold the token that ends a turn. */
static void add_turns(struct strbuf *line, struct strbuf *marked, int i, bool chatml)
{
    static const char *const answers[] = {"a%d", "\n\n%d.", "", "the <|im_end|> of %d"};
    const char *answer = answers[i % 4];
    char text[64];
    snprintf(text, sizeof text, answer, i);
    strbuf_printf(line, "%s{\"role\": \"user\", \"content\": \"q%d\"}, {\"role\": \"assistant\", \"content\": \"",
                  i ? ", " : "", i);
    for (const char *c = text; *c; c++)
        strbuf_printf(line, *c == '\n' ? "\\n" : "%c", *c);
    strbuf_adds(line, "\"}");
    if (chatml)
        strbuf_printf(marked, "<|im_start|>user\nq%d<|im_end|>\n<|im_start|>assistant%s%s<|im_end|>}\n", i,
                      *text == '\n' ? "{\n" : "\n{", text);
    else
        strbuf_printf(marked, "<s>[INST] q%d [/INST]{ %s </s>}", i, text + strspn(text, "\n"));
}

static void check_turns(const char *template_name, int count, bool chatml)
{
    struct strbuf line, marked;
    strbuf_init(&line);
    strbuf_init(&marked);
    strbuf_adds(&line, "{\"messages\": [");
    for (int i = 0; i < count; i++)
        add_turns(&line, &marked, i, chatml);
    strbuf_adds(&line, "]}");
    check_json(plain, template_name, DATA_CHAT, line.data, marked.data);
    strbuf_release(&line);
    strbuf_release(&marked);
}

/* Each turn is encoded a few times, whatever their number: were it once for every turn after it, this would take
 * minutes. */
static void long_conversations(void **state)
{
    (void)state;
    check_turns("llama2", 100, false);
    check_turns("chatml", 10000, true);
}

static void bos_comes_once(void **state)
{
    (void)state;
    const char *line =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"a\"}]}";
    check_json(with_bos, "llama2", DATA_CHAT, line, "<s>[INST] q [/INST]{ a </s>}");
    check_json(with_bos, "chatml", DATA_CHAT, line,
               "<s><|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n{a<|im_end|>}\n");
    check_json(with_bos, "mistral", DATA_CHAT, line, "<s> [INST] q [/INST]{ a</s>}");
}

static void broken_utf8_is_repaired_and_counted(void **state)
{
    (void)state;
    struct document_rules r = rules_of(plain, NULL, false);
    struct document d = {0};
    struct err e = {0};
    const char *line = "{\"text\": \"a\xff\xe2\x82z\"}";
    assert_done(document_from_json(&d, &r, DATA_TEXT, line, strlen(line), &e), &e);
    assert_int_equal(d.bytes_replaced, 3);
    check_document(&d, "a{\xef\xbf\xbd\xef\xbf\xbdz}");
    document_release(&d);

    document_from_text(&d, &r, "a\xffz", 3);
    assert_int_equal(d.bytes_replaced, 1);
    check_document(&d, "a{\xef\xbf\xbdz}");
    document_release(&d);
}

static void check_refused(enum data_format format, const char *line, size_t size, const char *part)
{
    struct document_rules r = rules_of(plain, "chatml", true);
    struct document d = {0};
    struct err e = {0};
    assert_int_equal(document_from_json(&d, &r, format, line, size, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    if (!strstr(e.text, part))
        fail_msg("%.60s: \"%s\" does not say \"%s\"", line, e.text, part);
    document_release(&d);
}

static void bad_lines(void **state)
{
    (void)state;
    static const struct {
        enum data_format format;
        const char *line, *part;
    } cases[] = {
        {DATA_TEXT, "{\"text\": \"a\"", "not a line of JSON"},
        {DATA_TEXT, "text", "not a line of JSON"},
        {DATA_TEXT, "{\"text\": \"a\"} {\"text\": \"b\"}", "not a line of JSON"},
        {DATA_TEXT, "{\"text\": \"a\", \"text\": \"b\"}", "not a line of JSON"},
        {DATA_TEXT, "{\"text\": \"\\ud800\"}", "not a line of JSON"},
        {DATA_TEXT, "[1]", "the line is an array"},
        {DATA_TEXT, "{\"txt\": \"a\"}", "no key \"text\""},
        {DATA_TEXT, "{\"text\": 7}", "\"text\" is a number"},
        {DATA_TEXT, "{\"text\": null}", "\"text\" is null"},
        {DATA_COMPLETION, "{\"prompt\": \"a\"}", "no key \"completion\""},
        {DATA_COMPLETION, "{\"completion\": \"a\"}", "no key \"prompt\""},
        {DATA_COMPLETION, "{\"prompt\": [\"a\"], \"completion\": \"b\"}", "\"prompt\" is an array"},
        {DATA_CHAT, "{\"conversation\": []}", "no key \"messages\""},
        {DATA_CHAT, "{\"messages\": \"hi\"}", "\"messages\" is a string"},
        {DATA_CHAT, "{\"messages\": []}", "without messages"},
        {DATA_CHAT, "{\"messages\": [\"hi\"]}", "messages[0]: is a string"},
        {DATA_CHAT, "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"user\"}]}",
         "messages[1]: no key \"content\""},
        {DATA_CHAT, "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\"}]}]}",
         "messages[0]: \"content\" is an array"},
        {DATA_CHAT, "{\"messages\": [{\"role\": \"user\", \"content\": \"a\\u0000b\"}]}",
         "messages[0]: \"content\" holds a zero byte"},
        {DATA_CHAT, "{\"messages\": [{\"role\": \"tool\", \"content\": \"7\"}]}", "role \"tool\" is not supported"},
        {DATA_CHAT, "{\"messages\": [{\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": [1]}]}",
         "messages[0]: \"tool_calls\" is not supported"},
        {DATA_CHAT, "{\"tools\": [1], \"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}",
         "\"tools\" is not supported"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_refused(cases[i].format, cases[i].line, strlen(cases[i].line), cases[i].part);
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { DEPTH = 1000000 };
    char *line = mem_alloc(DEPTH);
    memset(line, '[', DEPTH);
    check_refused(DATA_TEXT, line, DEPTH, "not a line of JSON");
    mem_free(line);
}

static void eos_must_be_there(void **state)
{
    (void)state;
    struct tokenizer *t = tiny_open(&(struct tiny_options){.no_eos = true});
    struct document_rules r;
    struct err e = {0};
    assert_int_equal(document_rules_init(&r, t, false, NULL, NULL, true, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.text, "data.append_eos"));
    err_clear(&e);
    assert_done(document_rules_init(&r, t, false, NULL, NULL, false, &e), &e);
    tokenizer_close(t);
}

/* Visits: each document holds its number. */
struct visits {
    int count, stop_at;
};

static int visit_number(void *context, struct document *d, struct err *e)
{
    struct visits *v = context;
    char text[32];
    int n = 0;
    for (size_t i = 0; i < d->ids.count; i++)
        text[n++] = (char)d->ids.ids[i];
    text[n] = 0;
    char expected[32];
    snprintf(expected, sizeof expected, "%d", v->count);
    assert_string_equal(text, expected);
    if (++v->count == v->stop_at)
        return err_set(e, ERR_STOPPED, "enough");
    return 0;
}

static char *numbers_file(int lines, int broken)
{
    struct strbuf s;
    strbuf_init(&s);
    for (int i = 0; i < lines; i++) {
        if (i >= broken)
            strbuf_adds(&s, "{\"text\": }\n");
        else
            strbuf_printf(&s, "{\"text\": \"%d\"}%s", i, i % 3 ? "\n" : "\r\n\n  \n");
    }
    char *path = tiny_file("numbers.jsonl", s.data, s.size);
    strbuf_release(&s);
    return path;
}

static void files_keep_their_order(void **state)
{
    (void)state;
    struct document_rules r = rules_of(plain, NULL, false);
    struct err e = {0};
    char *path = numbers_file(3000, 3000);
    const struct data_file file = {path, DATA_TEXT};
    struct visits v = {0};
    assert_done(document_read_file(&file, &r, visit_number, &v, &e), &e);
    assert_int_equal(v.count, 3000);

    v = (struct visits){.stop_at = 700};
    assert_int_equal(document_read_file(&file, &r, visit_number, &v, &e), -1);
    assert_int_equal(e.code, ERR_STOPPED);
    assert_int_equal(v.count, 700);
    mem_free(path);
}

/* Many lines are wrong; the first is named, and all before it were visited. */
static void the_first_bad_line_is_named(void **state)
{
    (void)state;
    struct document_rules r = rules_of(plain, NULL, false);
    struct err e = {0};
    char *path = numbers_file(1500, 1000);
    const struct data_file file = {path, DATA_TEXT};
    struct visits v = {0};
    assert_int_equal(document_read_file(&file, &r, visit_number, &v, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_int_equal(v.count, 1000);
    /* every third of the 1000 good lines has two blank ones behind it: 334 of them */
    assert_non_null(strstr(e.text, "numbers.jsonl:1669: not a line of JSON"));
    mem_free(path);
}

static int count_visit(void *context, struct document *d, struct err *e)
{
    (void)d, (void)e;
    ++*(int *)context;
    return 0;
}

static void what_is_one_document(void **state)
{
    (void)state;
    struct document_rules r = rules_of(plain, NULL, true);
    struct err e = {0};
    const struct {
        const char *name, *text;
        int documents;
    } cases[] = {{"a.txt", "one\ntwo\n\nthree\n", 1},
                 {"b.jsonl", "{\"text\": \"1\"}\n{\"text\": \"2\"}", 2},
                 {"c.txt", "", 0},
                 {"d.jsonl", "\n \r\n\n", 0}};
    for (int i = 0; i < 4; i++) {
        char *path = tiny_file_text(cases[i].name, cases[i].text);
        const struct data_file file = {path, DATA_TEXT};
        int count = 0;
        assert_done(document_read_file(&file, &r, count_visit, &count, &e), &e);
        assert_int_equal(count, cases[i].documents);
        mem_free(path);
    }
    const struct data_file missing = {"/nowhere/at/all.jsonl", DATA_CHAT};
    int count = 0;
    assert_int_equal(document_read_file(&missing, &r, count_visit, &count, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.text, "/nowhere/at/all.jsonl"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_gets_bos_and_eos),
        cmocka_unit_test(only_the_completion_is_supervised),
        cmocka_unit_test(answers_are_supervised),
        cmocka_unit_test(a_token_across_the_bound_is_supervised),
        cmocka_unit_test(long_conversations),
        cmocka_unit_test(bos_comes_once),
        cmocka_unit_test(broken_utf8_is_repaired_and_counted),
        cmocka_unit_test(bad_lines),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(eos_must_be_there),
        cmocka_unit_test(files_keep_their_order),
        cmocka_unit_test(the_first_bad_line_is_named),
        cmocka_unit_test(what_is_one_document),
    };
    return cmocka_run_group_tests(tests, open_tokenizers, close_tokenizers);
}
