/* The table of chat templates, and which row a tokenizer or a job asks for. */
#include "data/template.h"

#include <stddef.h>
#include <string.h>

#include "base/hash.h"
#include "data/template_table.h"

/* ChatML: every role alike. */
#define IM_TURN(role)                                                                      \
    {                                                                                      \
        .open = "<|im_start|>" role "\n", .lead = "", .close = "<|im_end|>", .after = "\n" \
    }
#define IM_TURNS                                                                                                 \
    .bos = "", .preamble = "", .end_token = "<|im_end|>", .placement = SYSTEM_TURN, .system = IM_TURN("system"), \
    .user = IM_TURN("user"), .assistant = IM_TURN("assistant")

#define LLAMA3_TURN(role)                                                                                           \
    {                                                                                                               \
        .open = "<|start_header_id|>" role "<|end_header_id|>\n\n", .lead = "", .close = "<|eot_id|>", .after = "", \
        .trim = true                                                                                                \
    }
#define LLAMA3_TURNS                                                                                                  \
    .bos = "<|begin_of_text|>", .end_token = "<|eot_id|>", .placement = SYSTEM_TURN, .system = LLAMA3_TURN("system"), \
    .user = LLAMA3_TURN("user"), .assistant = LLAMA3_TURN("assistant")

/* The Mistral generations differ in the spaces around their brackets only. */
#define MISTRAL_SYSTEM                                       \
    {                                                        \
        .open = "", .lead = "", .close = "\n\n", .after = "" \
    }

static const struct chat_template table[] = {
    {.name = "chatml", IM_TURNS, .sources = {0x4c6e807ee5fe9f4a}},
    {.name = "smollm2",
     IM_TURNS,
     .default_system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
     .sources = {0x99ab995e9629dacd}},
    {.name = "qwen2.5",
     IM_TURNS,
     .default_system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
     .sources = {0x2469c9508f79506e}},
    {.name = "qwen3", IM_TURNS, .thinks = true, .sources = {0x0283f874ff58d644}},
    {.name = "llama2",
     .bos = "",
     .preamble = "",
     .end_token = "</s>",
     .placement = SYSTEM_IN_FIRST_USER,
     .system = {.open = "<<SYS>>\n", .lead = "", .close = "\n<</SYS>>\n\n", .after = ""},
     .user = {.open = "<s>[INST] ", .lead = "", .close = " [/INST]", .after = "", .trim = true},
     .assistant = {.open = "", .lead = " ", .close = " </s>", .after = "", .trim = true},
     .sources = {0x24f6d97f87d647f5}},
    {.name = "llama3", LLAMA3_TURNS, .preamble = "", .sources = {0x9799ad6e2dea0594}},
    /* 3.2's source writes the date of the day unless it is given one; we keep the date that it falls back to, because
     * the same job must make the same tokens tomorrow */
    {.name = "llama3.1",
     LLAMA3_TURNS,
     .preamble = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n",
     .default_system = "",
     .sources = {0x6ca7779b7730196a, 0xc3d57e38f5ff0756}},
    {.name = "mistral",
     .bos = "<s>",
     .preamble = "",
     .end_token = "</s>",
     .placement = SYSTEM_IN_FIRST_USER,
     .system = MISTRAL_SYSTEM,
     .user = {.open = " [INST] ", .lead = "", .close = " [/INST]", .after = ""},
     .assistant = {.open = "", .lead = " ", .close = "</s>", .after = ""},
     .sources = {0xf89cfc57f651ff3d}},
    /* the sources of these two lose the system prompt once an answer follows, so they are not recognised: whoever
     * chooses them by name gets it in the last user turn, as Mistral documents it */
    {.name = "mistral-v3",
     .bos = "<s>",
     .preamble = "",
     .end_token = "</s>",
     .placement = SYSTEM_IN_LAST_USER,
     .system = MISTRAL_SYSTEM,
     .user = {.open = "[INST] ", .lead = "", .close = "[/INST]", .after = ""},
     .assistant = {.open = "", .lead = " ", .close = "</s>", .after = "", .trim = true}},
    {.name = "mistral-tekken",
     .bos = "<s>",
     .preamble = "",
     .end_token = "</s>",
     .placement = SYSTEM_IN_LAST_USER,
     .system = MISTRAL_SYSTEM,
     .user = {.open = "[INST]", .lead = "", .close = "[/INST]", .after = ""},
     .assistant = {.open = "", .lead = "", .close = "</s>", .after = ""}},
};
enum { TEMPLATES = sizeof table / sizeof table[0] };

const char *chat_template_name(const struct chat_template *t)
{
    return t->name;
}

const char *const *chat_template_names(void)
{
    static const char *names[TEMPLATES + 1];
    /* two threads may both fill it: they write the same values */
    for (int i = 0; i < TEMPLATES; i++)
        names[i] = table[i].name;
    return names;
}

static void list_names(struct strbuf *out)
{
    for (int i = 0; i < TEMPLATES; i++)
        strbuf_printf(out, "%s%s", i ? ", " : "", table[i].name);
}

/* Editors and converters add and drop a last newline; nothing else of the source is forgiven. */
static uint64_t source_hash(const char *source)
{
    const char *white = " \t\r\n";
    source += strspn(source, white);
    size_t n = strlen(source);
    while (n && strchr(white, source[n - 1]))
        n--;
    return hash64(source, n);
}

static const struct chat_template *find_source(uint64_t hash)
{
    for (int i = 0; i < TEMPLATES; i++)
        for (int k = 0; k < TEMPLATE_SOURCES_MAX && table[i].sources[k]; k++)
            if (table[i].sources[k] == hash)
                return &table[i];
    return NULL;
}

static const struct chat_template *find_name(const char *name)
{
    for (int i = 0; i < TEMPLATES; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

static int not_found(const char *name, const char *source, struct err *e)
{
    struct strbuf names;
    strbuf_init(&names);
    list_names(&names);
    if (name)
        err_set(e, ERR_USAGE, "data.template: %s is no template; it takes auto, %s", name, names.data);
    else if (source)
        err_set(
            e, ERR_INPUT,
            "the tokenizer's chat template (hash %016llx) is not one that retort knows: set data.template to one of "
            "%s",
            (unsigned long long)source_hash(source), names.data);
    else
        err_set(e, ERR_INPUT, "the tokenizer carries no chat template: set data.template to one of %s", names.data);
    strbuf_release(&names);
    return -1;
}

int chat_template_find(const struct chat_template **out, const char *name, const struct tokenizer *t, struct err *e)
{
    if (name && strcmp(name, "auto") == 0)
        name = NULL;
    const char *source = name ? NULL : tokenizer_chat_template(t);
    const struct chat_template *found = NULL;
    if (name)
        found = find_name(name);
    else if (source)
        found = find_source(source_hash(source));
    if (!found)
        return not_found(name, source, e);

    /* split into many tokens the end of a turn would teach the student to spell it */
    uint32_t id;
    if (!tokenizer_find(t, found->end_token, &id))
        return err_set(
            e, ERR_INPUT,
            "chat template %s ends a turn with %s, which is no token of this tokenizer: set data.template to "
            "the one that the model was trained with",
            found->name, found->end_token);
    *out = found;
    return 0;
}
