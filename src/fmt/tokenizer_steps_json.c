/* Normalisers and pre-tokenizers of a tokenizer.json become steps; what is not in the two tables is refused by its
 * name. */
#include "fmt/tokenizer_steps.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "fmt/unicode.h"

static const char gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
/* Digits asks Rust, whose Unicode (17) is a year ahead of the regular expressions'. */
static const char numeric[] = "[\\p{N}\\x{11de0}-\\x{11de9}\\x{16ff4}-\\x{16ff6}]";

struct reader {
    const char *type;
    int (*read)(struct steps *s, const struct fields *f);
};

/* One of the two lists of types, and what it is called in errors. */
struct zoo {
    const char *kind, *supported, *children; /* children: the key of a Sequence's parts */
    const struct reader *readers;
};

static int read_any(struct steps *s, const struct zoo *z, const json_t *value, const char *path, struct err *e);

int steps_refuse_type(const struct fields *f, const char *kind, const char *supported)
{
    const char *type = fields_need_text(f, "type");
    if (f->e->code)
        return -1;
    return err_set(f->e, ERR_INPUT, "%s: %s %.60s is not supported; supported are %s", f->path, kind, type, supported);
}

static struct step *add_step(struct steps *s, const struct fields *f, enum step_kind kind)
{
    if (s->count == STEPS_MAX) {
        err_set(f->e, ERR_INPUT, "%s: the normalizer or pre_tokenizer has more than %d steps", f->path, STEPS_MAX);
        return NULL;
    }
    struct step *step = &s->step[s->count++];
    *step = (struct step){.kind = kind};
    strbuf_init(&step->text);
    return step;
}

static int add_text_step(struct steps *s, const struct fields *f, enum step_kind kind, const char *text,
                         struct step **out)
{
    struct step *step = add_step(s, f, kind);
    if (!step)
        return -1;
    strbuf_adds(&step->text, text);
    *out = step;
    return 0;
}

/* Takes p over. */
static int add_split(struct steps *s, const struct fields *f, struct pattern *p, enum split_behavior behavior,
                     bool invert)
{
    struct step *step = add_step(s, f, STEP_SPLIT);
    if (!step) {
        pattern_free(p);
        return -1;
    }
    step->pattern = p;
    step->behavior = behavior;
    step->invert = invert;
    return 0;
}

/* A pattern of our own, which therefore compiles. */
static int add_own_split(struct steps *s, const struct fields *f, const char *source, enum split_behavior behavior)
{
    struct pattern *p = NULL;
    struct err own = {0};
    ASSERT(!pattern_compile(&p, source, "built in", &own));
    return add_split(s, f, p, behavior, false);
}

int steps_read_pattern(struct pattern **out, const struct fields *f, const char *kind)
{
    const json_t *value = fields_get(f, "pattern");
    const char *text = json_string_value(json_object_get(value, "String"));
    const char *regex = json_string_value(json_object_get(value, "Regex"));
    if ((text && *text) == (regex && *regex))
        return fields_refuse(f, "pattern", "expected {\"String\": text} or {\"Regex\": pattern}, not empty");
    if (regex) {
        char where[512];
        snprintf(where, sizeof where, "%.400s: %s", f->path, kind);
        return pattern_compile(out, regex, where, f->e);
    }
    *out = pattern_literal(text, strlen(text));
    return 0;
}

static int read_nfc(struct steps *s, const struct fields *f)
{
    return add_step(s, f, STEP_NFC) ? 0 : -1;
}

static int read_prepend(struct steps *s, const struct fields *f)
{
    struct step *step;
    const char *text = fields_need_text(f, "prepend");
    return f->e->code ? -1 : add_text_step(s, f, STEP_PREFIX, text, &step);
}

static int read_replace(struct steps *s, const struct fields *f)
{
    struct step *step;
    const char *text = fields_need_text(f, "content");
    if (f->e->code || add_text_step(s, f, STEP_REPLACE, text, &step))
        return -1;
    return steps_read_pattern(&step->pattern, f, "normalizer Replace");
}

static int read_byte_level(struct steps *s, const struct fields *f)
{
    struct step *step;
    if (!fields_get(f, "add_prefix_space"))
        return fields_refuse(f, "add_prefix_space", "expected true or false");
    bool prefix = fields_bool(f, "add_prefix_space", false), split = fields_bool(f, "use_regex", true);
    if (f->e->code)
        return -1;
    if (prefix) {
        if (add_text_step(s, f, STEP_PREFIX, " ", &step))
            return -1;
        step->unless_there = true;
    }
    if (split && add_own_split(s, f, gpt2, SPLIT_ISOLATED))
        return -1;
    return add_step(s, f, STEP_BYTES) ? 0 : -1;
}

static int read_digits(struct steps *s, const struct fields *f)
{
    bool single = fields_bool(f, "individual_digits", false);
    return f->e->code ? -1 : add_own_split(s, f, numeric, single ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS);
}

static int read_behavior(enum split_behavior *out, const struct fields *f)
{
    static const char *const names[] = {"Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext"};
    const char *name = fields_need_text(f, "behavior");
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (!strcmp(names[i], name)) {
            *out = (enum split_behavior)i;
            return 0;
        }
    return fields_refuse(f, "behavior", "expected Isolated, Removed, Contiguous, MergedWithPrevious or MergedWithNext");
}

static int read_split(struct steps *s, const struct fields *f)
{
    enum split_behavior behavior = SPLIT_ISOLATED;
    struct pattern *p;
    bool invert = fields_bool(f, "invert", false);
    if (read_behavior(&behavior, f) || f->e->code || steps_read_pattern(&p, f, "pre_tokenizer Split"))
        return -1;
    return add_split(s, f, p, behavior, invert);
}

/* "first", "always" or "never"; older files say add_prefix_space instead. */
static int read_scheme(const struct fields *f, bool *prefix, bool *only_first)
{
    const char *scheme = fields_text(f, "prepend_scheme", NULL);
    bool allowed = fields_bool(f, "add_prefix_space", true);
    if (f->e->code)
        return -1;
    if (!scheme)
        scheme = allowed ? "always" : "never";
    *prefix = strcmp(scheme, "never") != 0;
    *only_first = !strcmp(scheme, "first");
    if ((*prefix && !*only_first && strcmp(scheme, "always")) || (*prefix && !allowed))
        return fields_refuse(f, "prepend_scheme",
                             "expected first, always or never, in agreement with add_prefix_space");
    return 0;
}

static int read_metaspace(struct steps *s, const struct fields *f)
{
    uint32_t c;
    bool prefix, only_first;
    struct step *step;
    const char *mark = fields_need_text(f, "replacement");
    bool splits = fields_bool(f, "split", true);
    if (f->e->code || read_scheme(f, &prefix, &only_first))
        return -1;
    if (!utf8_is_one(mark, strlen(mark), &c))
        return fields_refuse(f, "replacement", "expected one character");
    if (add_text_step(s, f, STEP_REPLACE, mark, &step))
        return -1;
    step->pattern = pattern_literal(" ", 1);
    if (prefix) {
        if (add_text_step(s, f, STEP_PREFIX, mark, &step))
            return -1;
        step->unless_there = true;
        step->only_first = only_first;
    }
    return splits ? add_split(s, f, pattern_literal(mark, strlen(mark)), SPLIT_MERGED_WITH_NEXT, false) : 0;
}

static const struct reader normalizers[] = {
    {"NFC", read_nfc}, {"Prepend", read_prepend}, {"Replace", read_replace}, {NULL, NULL}};
static const struct reader pre_tokenizers[] = {{"ByteLevel", read_byte_level},
                                               {"Digits", read_digits},
                                               {"Split", read_split},
                                               {"Metaspace", read_metaspace},
                                               {NULL, NULL}};
static const struct zoo normalizer = {"normalizer", "NFC, Prepend, Replace and Sequence", "normalizers", normalizers};
static const struct zoo pre_tokenizer = {"pre_tokenizer", "ByteLevel, Split, Digits, Metaspace and Sequence",
                                         "pretokenizers", pre_tokenizers};

static int read_sequence(struct steps *s, const struct zoo *z, const struct fields *f)
{
    const json_t *parts = fields_get(f, z->children);
    if (!json_is_array(parts))
        return fields_refuse(f, z->children, "expected a list");
    for (size_t i = 0; i < json_array_size(parts); i++)
        if (read_any(s, z, json_array_get(parts, i), f->path, f->e))
            return -1;
    return 0;
}

static int read_any(struct steps *s, const struct zoo *z, const json_t *value, const char *path, struct err *e)
{
    char section[32];
    snprintf(section, sizeof section, "%s.", z->kind);
    const struct fields f = {value, path, section, e};
    if (!json_is_object(value))
        return err_set(e, ERR_INPUT, "%s: %s: expected an object with a type", path, z->kind);
    const char *type = fields_need_text(&f, "type");
    if (e->code)
        return -1;
    if (!strcmp(type, "Sequence"))
        return read_sequence(s, z, &f);
    for (const struct reader *r = z->readers; r->type; r++)
        if (!strcmp(r->type, type))
            return r->read(s, &f);
    return steps_refuse_type(&f, z->kind, z->supported);
}

int steps_read_normalizer(struct steps *s, const json_t *value, const char *path, struct err *e)
{
    return !value || json_is_null(value) ? 0 : read_any(s, &normalizer, value, path, e);
}

int steps_read_pre_tokenizer(struct steps *s, const json_t *value, const char *path, struct err *e)
{
    return !value || json_is_null(value) ? 0 : read_any(s, &pre_tokenizer, value, path, e);
}
