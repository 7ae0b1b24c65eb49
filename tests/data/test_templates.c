/* Chat templates against transformers (golden_templates.json, made by tools/reference/data_templates.py), what is
 * supervised, and which template a tokenizer gets. */
#include "test.h"

#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "data/template.h"
#include "data/tiny.h"

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

static const struct chat_template *template_of(const char *name)
{
    struct err e = {0};
    const struct chat_template *t = NULL;
    assert_done(chat_template_find(&t, name, tokenizer, &e), &e);
    return t;
}

static char *text_of(const struct chat_pieces *p, int supervised_only)
{
    struct strbuf s;
    strbuf_init(&s);
    for (int i = 0; i < p->count; i++)
        if (!supervised_only || p->items[i].supervised)
            strbuf_adds(&s, p->items[i].text);
    return strbuf_detach(&s);
}

enum { MESSAGES_MAX = 16 };

static int read_messages(const json_t *list, struct chat_message *messages)
{
    int count = (int)json_array_size(list);
    assert_in_range(count, 1, MESSAGES_MAX);
    for (int i = 0; i < count; i++) {
        const json_t *pair = json_array_get(list, (size_t)i);
        messages[i] = (struct chat_message){json_string_value(json_array_get(pair, 0)),
                                            json_string_value(json_array_get(pair, 1))};
    }
    return count;
}

/* expected: a string, or null where the template refuses. */
static void check_rendering(const char *name, const struct chat_message *messages, int count, bool generation,
                            const json_t *expected)
{
    struct err e = {0};
    struct chat_pieces p = {0};
    int rc = chat_template_render(template_of(name), messages, count, NULL, generation, &p, &e);
    if (json_is_null(expected)) {
        assert_int_equal(rc, -1);
        assert_int_equal(e.code, ERR_INPUT);
        return;
    }
    assert_done(rc, &e);
    char *text = text_of(&p, 0);
    if (strcmp(text, json_string_value(expected)) != 0)
        fail_msg("%s: \"%s\", expected \"%s\"", name, text, json_string_value(expected));
    mem_free(text);

    int answers = 0, supervised = 0;
    for (int i = 0; i < count; i++)
        answers += strcmp(messages[i].role, "assistant") == 0;
    for (int i = 0; i < p.count; i++)
        supervised += p.items[i].supervised;
    assert_int_equal(supervised, answers);
    chat_pieces_release(&p);
}

static void every_row_equals_transformers(void **state)
{
    (void)state;
    json_error_t trouble;
    json_t *golden = json_load_file(GOLDEN_TEMPLATES, JSON_ALLOW_NUL, &trouble);
    assert_non_null(golden);
    const json_t *conversations = json_object_get(golden, "conversations");
    for (const char *const *name = chat_template_names(); *name; name++) {
        const json_t *texts = json_object_get(golden, *name);
        assert_int_equal(json_array_size(texts), json_array_size(conversations));
        for (size_t i = 0; i < json_array_size(texts); i++) {
            struct chat_message messages[MESSAGES_MAX];
            int count = read_messages(json_array_get(conversations, i), messages);
            for (size_t generation = 0; generation < 2; generation++)
                check_rendering(*name, messages, count, generation,
                                json_array_get(json_array_get(texts, i), generation));
        }
    }
    json_decref(golden);
}

static void check_supervised(const char *name, const char *expected)
{
    const struct chat_message messages[] = {
        {"system", "S"}, {"user", "u1"}, {"assistant", "a1"}, {"user", "u2"}, {"assistant", "a2"}};
    struct err e = {0};
    struct chat_pieces p = {0};
    assert_done(chat_template_render(template_of(name), messages, 5, NULL, false, &p, &e), &e);
    char *text = text_of(&p, 1);
    assert_string_equal(text, expected);
    mem_free(text);
    chat_pieces_release(&p);
}

/* What the model itself writes after a header: content and end of turn, no header, no newline after the end. */
static void answers_are_supervised_and_headers_not(void **state)
{
    (void)state;
    check_supervised("chatml", "a1<|im_end|>a2<|im_end|>");
    check_supervised("qwen3", "a1<|im_end|><think>\n\n</think>\n\na2<|im_end|>");
    check_supervised("llama3.1", "a1<|eot_id|>a2<|eot_id|>");
    check_supervised("llama2", " a1 </s> a2 </s>");
    check_supervised("mistral", " a1</s> a2</s>");
    check_supervised("mistral-tekken", "a1</s>a2</s>");
}

static void check_system(const char *name, const char *system_prompt, const char *expected)
{
    const struct chat_message messages[] = {{"user", "hi"}};
    struct err e = {0};
    struct chat_pieces p = {0};
    assert_done(chat_template_render(template_of(name), messages, 1, system_prompt, true, &p, &e), &e);
    char *text = text_of(&p, 0);
    assert_string_equal(text, expected);
    mem_free(text);
    chat_pieces_release(&p);
}

/* data.system_prompt is the system message of conversations that have none of their own. */
static void system_prompt_of_the_job(void **state)
{
    (void)state;
    check_system("smollm2", "Be kind.",
                 "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
    check_system("smollm2", "",
                 "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
    check_system("llama2", "Be kind.", "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nhi [/INST]");
    check_system("mistral-v3", "Be kind.", "<s>[INST] Be kind.\n\nhi[/INST]");

    const struct chat_message own[] = {{"system", "Own."}, {"user", "hi"}};
    struct err e = {0};
    struct chat_pieces p = {0};
    assert_done(chat_template_render(template_of("chatml"), own, 2, "Be kind.", false, &p, &e), &e);
    assert_string_equal(p.items[0].text, "<|im_start|>system\nOwn.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n");
    chat_pieces_release(&p);
}

static void check_refused(const char *name, const struct chat_message *messages, int count, const char *part)
{
    struct err e = {0};
    struct chat_pieces p = {0};
    assert_int_equal(chat_template_render(template_of(name), messages, count, NULL, false, &p, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    if (!strstr(e.text, part))
        fail_msg("\"%s\" does not say \"%s\"", e.text, part);
    assert_int_equal(p.count, 0);
}

static void roles_that_do_not_fit(void **state)
{
    (void)state;
    const struct chat_message tool[] = {{"user", "q"}, {"tool", "7"}};
    check_refused("chatml", tool, 2, "\"tool\" is not supported");
    check_refused("qwen3", tool, 2, "\"tool\" is not supported");
    const struct chat_message twice[] = {{"user", "q"}, {"user", "q"}};
    check_refused("llama2", twice, 2, "message 2 is the user's");
    const struct chat_message answer[] = {{"system", "s"}, {"assistant", "a"}};
    check_refused("mistral", answer, 2, "message 1 is the assistant's");
    check_refused("llama2", answer, 1, "there is none");
    check_refused("chatml", tool, 0, "without messages");
}

#define CHATML_LOOP                                                                                      \
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}" \
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

static int find_by_source(const char *source, const char *name, const char **found, struct err *e)
{
    struct tokenizer *t = tiny_open(&(struct tiny_options){.chat_template = source});
    const struct chat_template *row = NULL;
    int rc = chat_template_find(&row, name, t, e);
    *found = row ? chat_template_name(row) : NULL;
    tokenizer_close(t);
    return rc;
}

/* The source that SmolLM2's GGUF carries; with and without the newline that converters add. */
static void known_sources_are_recognised(void **state)
{
    (void)state;
    const char *source = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
                         "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
                         "<|im_end|>\n' }}{% endif %}" CHATML_LOOP "\n";
    const char *found;
    struct err e = {0};
    assert_done(find_by_source(source, NULL, &found, &e), &e);
    assert_string_equal(found, "smollm2");
    char *stripped = mem_strdup(source);
    stripped[strlen(stripped) - 1] = 0;
    assert_done(find_by_source(stripped, "auto", &found, &e), &e);
    assert_string_equal(found, "smollm2");
    mem_free(stripped);
    assert_done(find_by_source(source, "chatml", &found, &e), &e);
    assert_string_equal(found, "chatml"); /* the job's choice goes before the source */
}

static void others_are_refused(void **state)
{
    (void)state;
    const char *found;
    struct err e = {0};
    assert_int_equal(find_by_source("{{ messages }}", NULL, &found, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.text, "set data.template to one of chatml, smollm2"));
    err_clear(&e);
    assert_int_equal(find_by_source(NULL, NULL, &found, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.text, "carries no chat template"));
    err_clear(&e);
    assert_int_equal(find_by_source(NULL, "chatmL", &found, &e), -1);
    assert_int_equal(e.code, ERR_USAGE);
    err_clear(&e);

    struct tokenizer *without = tiny_open(&(struct tiny_options){.no_eot_id = true});
    const struct chat_template *row = NULL;
    assert_int_equal(chat_template_find(&row, "llama3", without, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.text, "<|eot_id|>"));
    assert_null(row);
    tokenizer_close(without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_equals_transformers), cmocka_unit_test(answers_are_supervised_and_headers_not),
        cmocka_unit_test(system_prompt_of_the_job),      cmocka_unit_test(roles_that_do_not_fit),
        cmocka_unit_test(known_sources_are_recognised),  cmocka_unit_test(others_are_refused),
    };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
