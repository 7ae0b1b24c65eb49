/* retort tokenize: text to ids and pieces, or ids to text. Needs a tokenizer, no weights. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/console.h"
#include "cli/program.h"
#include "data/template.h"
#include "fmt/json_fields.h"
#include "fmt/tokenizer.h"

struct tokenizing {
    const char *model, *file, *decode, *template_name, *system_prompt;
    const char *text[1];
    bool chat, json;
};

/* --- ids to text --- */

static int read_ids(const char *text, const struct tokenizer *t, struct token_list *ids, struct err *e)
{
    while (*text) {
        char *end;
        errno = 0;
        unsigned long id = strtoul(text, &end, 10);
        if (end == text || errno || id >= tokenizer_size(t))
            return err_set(e, ERR_USAGE, "--decode: \"%.20s\" is no id below %u", text, tokenizer_size(t));
        token_list_add(ids, (uint32_t)id);
        text = end + strspn(end, ", \t\n[]");
    }
    return 0;
}

static int decode(const struct tokenizing *k, const struct tokenizer *t, struct strbuf *out, struct err *e)
{
    struct token_list ids = {0};
    struct strbuf text;
    strbuf_init(&text);
    int rc = read_ids(k->decode + strspn(k->decode, " ["), t, &ids, e);
    if (!rc) {
        tokenizer_decode(t, ids.ids, ids.count, false, &text);
        if (k->json) {
            strbuf_adds(out, "{\"text\": ");
            json_put_text(out, text.data, text.size);
            strbuf_adds(out, "}\n");
        } else {
            strbuf_add(out, text.data, text.size);
            strbuf_adds(out, "\n");
        }
    }
    strbuf_release(&text);
    token_list_release(&ids);
    return rc;
}

/* --- text to ids --- */

static void print_json(const struct tokenizer *t, const struct token_list *ids, struct strbuf *out)
{
    strbuf_adds(out, "{\"ids\": [");
    for (size_t i = 0; i < ids->count; i++)
        strbuf_printf(out, "%s%u", i ? ", " : "", ids->ids[i]);
    strbuf_adds(out, "], \"pieces\": [");
    for (size_t i = 0; i < ids->count; i++) {
        const char *piece = tokenizer_piece(t, ids->ids[i]);
        strbuf_adds(out, i ? ", " : "");
        json_put_text(out, piece, strlen(piece));
    }
    strbuf_adds(out, "]}\n");
}

static void print_lines(const struct tokenizer *t, const struct token_list *ids, struct strbuf *out)
{
    for (size_t i = 0; i < ids->count; i++)
        strbuf_printf(out, "%8u  %s\n", ids->ids[i], tokenizer_piece(t, ids->ids[i]));
    strbuf_printf(out, "%zu tokens\n", ids->count);
}

/* The text as one user message in the model's template. */
static int apply_template(const struct tokenizing *k, const struct tokenizer *t, struct strbuf *text, struct err *e)
{
    const struct chat_template *template;
    struct chat_pieces pieces = {0};
    struct chat_message message = {"user", text->data};
    if (chat_template_find(&template, k->template_name, t, e) ||
        chat_template_render(template, &message, 1, k->system_prompt, true, &pieces, e))
        return -1;
    strbuf_clear(text);
    for (int i = 0; i < pieces.count; i++)
        strbuf_adds(text, pieces.items[i].text);
    chat_pieces_release(&pieces);
    return 0;
}

static int read_text(const struct tokenizing *k, struct strbuf *text, struct err *e)
{
    struct file_map map;
    if (k->file) {
        if (file_map_open(&map, k->file, e))
            return -1;
        strbuf_add(text, map.data, map.size);
        file_map_close(&map);
    } else {
        strbuf_adds(text, k->text[0]);
    }
    return 0;
}

static int encode(const struct tokenizing *k, const struct tokenizer *t, struct strbuf *out, struct err *e)
{
    struct strbuf text;
    struct token_list ids = {0};
    size_t replaced = 0;
    strbuf_init(&text);
    int rc = read_text(k, &text, e);
    if (!rc && k->chat)
        rc = apply_template(k, t, &text, e);
    if (!rc) {
        tokenizer_encode(t, text.data, text.size, &ids, &replaced);
        if (replaced)
            log_warning("%zu bytes were not UTF-8 and became U+FFFD", replaced);
        if (k->json)
            print_json(t, &ids, out);
        else
            print_lines(t, &ids, out);
    }
    token_list_release(&ids);
    strbuf_release(&text);
    return rc;
}

int cmd_tokenize(int argc, char **argv, struct err *e)
{
    struct tokenizing k = {0};
    int rc;
    const struct option options[] = {
        {"--model", OPTION_TEXT, &k.model, "PATH", "Hugging Face directory or .gguf file; needs no weights", NULL,
         true},
        {"--file", OPTION_TEXT, &k.file, "FILE", "the text of a file", NULL, false},
        {"--decode", OPTION_TEXT, &k.decode, "IDS", "the other way: ids such as 12,7,300", NULL, false},
        {"--chat", OPTION_FLAG, &k.chat, NULL, "the text is a user's message in the model's chat template", NULL,
         false},
        {"--template", OPTION_TEXT, &k.template_name, "NAME", "chat template, where the model's own is unknown", NULL,
         false},
        {"--system", OPTION_TEXT, &k.system_prompt, "TEXT", "with --chat: the system message", NULL, false},
        {"--json", OPTION_FLAG, &k.json, NULL, "one JSON document", NULL, false},
        {0},
    };
    static const char *const names[] = {"TEXT"};
    const struct command_line line = {
        .command = "tokenize",
        .usage = "--model M [--file F | TEXT | --decode IDS] [--chat] [--json]",
        .about = "Token ids and pieces of a text. Special tokens in the text are matched; none are added.",
        .options = options,
        .positional = k.text,
        .positional_names = names,
        .positional_most = 1,
    };
    if (!program_options(&line, argc, argv, &rc, e))
        return rc;
    if (!!k.file + !!k.decode + !!k.text[0] != 1)
        return err_set(e, ERR_USAGE, "name one of TEXT, --file and --decode");
    struct tokenizer *t;
    if (tokenizer_open(&t, k.model, e))
        return -1;
    struct strbuf out;
    strbuf_init(&out);
    rc = k.decode ? decode(&k, t, &out, e) : encode(&k, t, &out, e);
    if (!rc)
        console_print(out.data, out.size);
    strbuf_release(&out);
    tokenizer_close(t);
    return rc;
}
