/* Decoders of a tokenizer.json; what is not in the table is refused by its name. */
#include "fmt/tokenizer_decoder.h"

#include <string.h>

#include "fmt/tokenizer_steps.h"
#include "fmt/unicode.h"

static int read_any(struct decoder *d, const json_t *value, const char *path, struct err *e);

static struct decoder_step *add_step(struct decoder *d, const struct fields *f, enum decoder_kind kind)
{
    if (d->count == DECODER_STEPS_MAX) {
        err_set(f->e, ERR_INPUT, "%s: the decoder has more than %d steps", f->path, DECODER_STEPS_MAX);
        return NULL;
    }
    struct decoder_step *s = &d->step[d->count++];
    *s = (struct decoder_step){.kind = kind};
    strbuf_init(&s->text);
    return s;
}

/* One character that the key names. */
static int read_character(struct decoder_step *s, const struct fields *f, const char *key)
{
    uint32_t c;
    const char *text = fields_need_text(f, key);
    if (f->e->code)
        return -1;
    if (!utf8_is_one(text, strlen(text), &c))
        return fields_refuse(f, key, "expected one character");
    strbuf_adds(&s->text, text);
    return 0;
}

static int read_plain(struct decoder *d, const struct fields *f)
{
    const char *type = fields_text(f, "type", "");
    enum decoder_kind kind = !strcmp(type, "ByteLevel")      ? DECODE_BYTE_LEVEL
                             : !strcmp(type, "ByteFallback") ? DECODE_BYTE_FALLBACK
                                                             : DECODE_FUSE;
    return add_step(d, f, kind) ? 0 : -1;
}

static int read_replace(struct decoder *d, const struct fields *f)
{
    struct decoder_step *s = add_step(d, f, DECODE_REPLACE);
    if (!s)
        return -1;
    strbuf_adds(&s->text, fields_need_text(f, "content"));
    return f->e->code ? -1 : steps_read_pattern(&s->pattern, f, "decoder Replace");
}

static int read_strip(struct decoder *d, const struct fields *f)
{
    enum { MOST = 1 << 20 };
    struct decoder_step *s = add_step(d, f, DECODE_STRIP);
    if (!s || read_character(s, f, "content"))
        return -1;
    s->from_start = (size_t)fields_need_int(f, "start", 0, MOST);
    s->from_end = (size_t)fields_need_int(f, "stop", 0, MOST);
    return f->e->code ? -1 : 0;
}

static int read_metaspace(struct decoder *d, const struct fields *f)
{
    struct decoder_step *s = add_step(d, f, DECODE_METASPACE);
    if (!s || read_character(s, f, "replacement"))
        return -1;
    bool prefix = fields_bool(f, "add_prefix_space", true);
    s->drops_first = strcmp(fields_text(f, "prepend_scheme", prefix ? "always" : "never"), "never") != 0;
    return f->e->code ? -1 : 0;
}

static int read_sequence(struct decoder *d, const struct fields *f)
{
    const json_t *parts = fields_get(f, "decoders");
    if (!json_is_array(parts))
        return fields_refuse(f, "decoders", "expected a list");
    for (size_t i = 0; i < json_array_size(parts); i++)
        if (read_any(d, json_array_get(parts, i), f->path, f->e))
            return -1;
    return 0;
}

static int read_any(struct decoder *d, const json_t *value, const char *path, struct err *e)
{
    static const struct {
        const char *type;
        int (*read)(struct decoder *d, const struct fields *f);
    } readers[] = {{"ByteLevel", read_plain},  {"ByteFallback", read_plain}, {"Fuse", read_plain},
                   {"Replace", read_replace},  {"Strip", read_strip},        {"Metaspace", read_metaspace},
                   {"Sequence", read_sequence}};
    const struct fields f = {value, path, "decoder.", e};
    if (!json_is_object(value))
        return err_set(e, ERR_INPUT, "%s: decoder: expected an object with a type", path);
    const char *type = fields_need_text(&f, "type");
    if (e->code)
        return -1;
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (!strcmp(readers[i].type, type))
            return readers[i].read(d, &f);
    return steps_refuse_type(&f, "decoder", "ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace and Sequence");
}

int decoder_read(struct decoder *d, const json_t *value, const char *path, struct err *e)
{
    return !value || json_is_null(value) ? 0 : read_any(d, value, path, e);
}
