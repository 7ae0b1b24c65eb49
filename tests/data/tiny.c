#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "data/tiny.h"

static const char *const specials[] = {"<|endoftext|>", "<|im_start|>",      "<|im_end|>", "<s>",
                                       "</s>",          "<|begin_of_text|>", "<|eot_id|>"};
enum { SPECIALS = sizeof specials / sizeof specials[0] };
_Static_assert(TINY_SPECIALS + SPECIALS == TINY_SIZE, "each special has its name");

size_t tiny_encode(const char *text, size_t size, uint32_t *ids)
{
    size_t count = 0;
    for (size_t i = 0; i < size;) {
        uint32_t id = (unsigned char)text[i];
        size_t length = 1;
        if (size - i >= 2 && memcmp(text + i, "th", 2) == 0) {
            id = TINY_TH;
            length = 2;
        } else if (size - i >= 2 && memcmp(text + i, "\n\n", 2) == 0) {
            id = TINY_NEWLINES;
            length = 2;
        }
        for (size_t k = 0; k < SPECIALS; k++) {
            size_t n = strlen(specials[k]);
            if (size - i >= n && memcmp(text + i, specials[k], n) == 0) {
                id = (uint32_t)(TINY_SPECIALS + k);
                length = n;
            }
        }
        ids[count++] = id;
        i += length;
    }
    return count;
}

/* GPT-2's alphabet: a byte that is no visible Latin-1 character stands at 256 and above. */
static unsigned letter_of(unsigned byte)
{
    unsigned other = 0;
    for (unsigned b = 0; b <= byte; b++) {
        bool visible = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        if (b == byte)
            return visible ? b : 256 + other;
        other += !visible;
    }
    return 0;
}

static void write_tokenizer(struct strbuf *out, const struct tiny_options *o)
{
    strbuf_adds(out, "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, \"added_tokens\": [");
    for (int i = 0; i < SPECIALS; i++)
        if (!o->no_eot_id || i != TINY_EOT_ID - TINY_SPECIALS)
            strbuf_printf(out,
                          "%s{\"id\": %d, \"content\": \"%s\", \"single_word\": false, \"lstrip\": false, \"rstrip\": "
                          "false, \"normalized\": false, \"special\": true}",
                          i ? ", " : "", TINY_SPECIALS + i, specials[i]);
    const char *level = "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": false}";
    strbuf_printf(out, "], \"normalizer\": null, \"pre_tokenizer\": %s, \"decoder\": %s, \"post_processor\": ", level, level);
    if (o->adds_bos)
        strbuf_printf(out,
                      "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}, "
                      "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [{\"Sequence\": {\"id\": \"A\", "
                      "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], \"special_tokens\": {\"<s>\": "
                      "{\"id\": \"<s>\", \"ids\": [%d], \"tokens\": [\"<s>\"]}}}",
                      TINY_BOS);
    else
        strbuf_adds(out, level);
    strbuf_adds(out, ", \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, \"continuing_subword_prefix\": "
                     "null, \"end_of_word_suffix\": null, \"fuse_unk\": false, \"byte_fallback\": false, "
                     "\"ignore_merges\": false, \"vocab\": {");
    for (unsigned b = 0; b < 256; b++)
        strbuf_printf(out, "\"\\u%04x\": %u, ", letter_of(b), b);
    const unsigned newline = letter_of('\n');
    strbuf_printf(out, "\"th\": %d, \"\\u%04x\\u%04x\": %d}, ", TINY_TH, newline, newline, TINY_NEWLINES);
    strbuf_printf(out, "\"merges\": [\"t h\", \"\\u%04x \\u%04x\"]}}", newline, newline);
}

static void write_config(struct strbuf *out, const struct tiny_options *o)
{
    strbuf_printf(out, "{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"add_bos_token\": %s, \"bos_token\": \"<s>\"",
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
    write_tokenizer(&text, o);
    write_buffer("tokenizer.json", &text);
    write_config(&text, o);
    write_buffer("tokenizer_config.json", &text);
    strbuf_release(&text);

    struct tokenizer *t = NULL;
    struct err e = {0};
    assert_done(tokenizer_open(&t, tiny_directory(), &e), &e);
    return t;
}
