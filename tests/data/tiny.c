#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "data/tiny.h"

static void write_config(struct strbuf *out, const struct tiny_options *o)
{
    strbuf_printf(out,
                  "{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"add_bos_token\": %s, \"bos_token\": \"<s>\"",
                  o->adds_bos ? "true" : "false");
    if (!o->no_eos)
        strbuf_adds(out, ", \"eos_token\": \"</s>\"");
    if (o->chat_template) {
        strbuf_adds(out, ", \"chat_template\": \"");
        for (const char *c = o->chat_template; *c; c++)
            strbuf_printf(out, "\\u%04x", (unsigned char)*c);
        strbuf_adds(out, "\"");
    }
    strbuf_adds(out, "}");
}

static char *directory;

const char *tiny_directory(void)
{
    if (!directory) {
        directory = mem_strdup("/tmp/retort-data-XXXXXX");
        assert_non_null(mkdtemp(directory));
    }
    return directory;
}

int tiny_remove_directory(void **state)
{
    (void)state;
    struct err e = {0};
    int rc = directory ? file_remove_tree(directory, &e) : 0;
    mem_free(directory);
    directory = NULL;
    return rc;
}

char *tiny_file(const char *name, const char *text, size_t size)
{
    struct err e = {0};
    char *path = file_join(tiny_directory(), name);
    assert_done(file_write(path, text, size, &e), &e);
    return path;
}

char *tiny_file_text(const char *name, const char *text)
{
    return tiny_file(name, text, strlen(text));
}

static void write_buffer(const char *name, struct strbuf *text)
{
    char *path = tiny_file(name, text->data, text->size);
    mem_free(path);
    strbuf_clear(text);
}

struct tokenizer *tiny_open(const struct tiny_options *o)
{
    struct strbuf text;
    strbuf_init(&text);
    tiny_tokenizer_json(&text, o);
    write_buffer("tokenizer.json", &text);
    write_config(&text, o);
    write_buffer("tokenizer_config.json", &text);
    strbuf_release(&text);

    struct tokenizer *t = NULL;
    struct err e = {0};
    assert_done(tokenizer_open(&t, tiny_directory(), &e), &e);
    return t;
}
