/* The part of tiny.h that needs no test framework: fuzzers link it, too. */
#include <string.h>

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

void tiny_tokenizer_json(struct strbuf *out, const struct tiny_options *o)
{
    strbuf_adds(out, "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, \"added_tokens\": [");
    for (int i = 0; i < SPECIALS; i++)
        if (!o->no_eot_id || i != TINY_EOT_ID - TINY_SPECIALS)
            strbuf_printf(out,
                          "%s{\"id\": %d, \"content\": \"%s\", \"single_word\": false, \"lstrip\": false, \"rstrip\": "
                          "false, \"normalized\": false, \"special\": true}",
                          i ? ", " : "", TINY_SPECIALS + i, specials[i]);
    const char *level =
        "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": false}";
    strbuf_printf(out, "], \"normalizer\": null, \"pre_tokenizer\": %s, \"decoder\": %s, \"post_processor\": ", level,
                  level);
    if (o->adds_bos)
        strbuf_printf(
            out,
            "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}, "
            "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [{\"Sequence\": {\"id\": \"A\", "
            "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], \"special_tokens\": {\"<s>\": "
            "{\"id\": \"<s>\", \"ids\": [%d], \"tokens\": [\"<s>\"]}}}",
            TINY_BOS);
    else
        strbuf_adds(out, level);
    strbuf_adds(
        out, ", \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, \"continuing_subword_prefix\": "
             "null, \"end_of_word_suffix\": null, \"fuse_unk\": false, \"byte_fallback\": false, "
             "\"ignore_merges\": false, \"vocab\": {");
    for (unsigned b = 0; b < 256; b++)
        strbuf_printf(out, "\"\\u%04x\": %u, ", letter_of(b), b);
    const unsigned newline = letter_of('\n');
    strbuf_printf(out, "\"th\": %d, \"\\u%04x\\u%04x\": %d}, ", TINY_TH, newline, newline, TINY_NEWLINES);
    strbuf_printf(out, "\"merges\": [\"t h\", \"\\u%04x \\u%04x\"]}}", newline, newline);
}
