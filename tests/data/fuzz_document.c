/* Lines of data files that someone made up: the first byte chooses format and template, the rest is the line. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "data/document.h"
#include "data/tiny.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const struct tokenizer *tokenizer(void)
{
    static struct tokenizer *t;
    if (!t) {
        struct err e = {0};
        struct strbuf json;
        strbuf_init(&json);
        tiny_tokenizer_json(&json, &(struct tiny_options){.adds_bos = true});
        ASSERT(tokenizer_from_json(&t, json.data, json.size, "tiny", &e) == 0);
        strbuf_release(&json);
    }
    return t;
}

/* '0' text, '1' completion, from '2' on chat by each template. */
static enum data_format choose(uint8_t byte, const char **template_name)
{
    static const char *const templates[] = {"chatml", "qwen3", "llama2", "llama3.1", "mistral", "mistral-v3"};
    unsigned choice = (unsigned)(byte - '0');
    *template_name = templates[choice % (sizeof templates / sizeof templates[0])];
    return choice == 0 ? DATA_TEXT : choice == 1 ? DATA_COMPLETION : DATA_CHAT;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (!size)
        return 0;
    struct err e = {0};
    struct document d = {0};
    const char *template_name;
    enum data_format format = choose(bytes[0], &template_name);
    struct document_rules r = {.tokenizer = tokenizer()};
    ASSERT(chat_template_find(&r.chat, template_name, r.tokenizer, &e) == 0);
    if (document_from_json(&d, &r, format, (const char *)bytes + 1, size - 1, &e) == 0) {
        ASSERT(!d.ids.count || !d.supervised[0]);
        for (size_t i = 0; i < d.ids.count; i++)
            ASSERT(d.supervised[i] <= 1 && d.ids.ids[i] < tokenizer_size(r.tokenizer));
    } else {
        ASSERT(e.code == ERR_INPUT && e.text[0]);
    }
    document_release(&d);
    return 0;
}
