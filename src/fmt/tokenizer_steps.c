#include "fmt/tokenizer_steps.h"

#include <string.h>

#include "fmt/unicode.h"

/* GPT-2 writes every byte as a printable character: those that are printable in Latin-1 as themselves, the others, in
 * order, from U+0100 on. */
static bool is_printable(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

enum { PRINTABLE = 188, OTHERS = 256 - PRINTABLE };

int bytes_from_character(uint32_t c)
{
    if (c < 256)
        return is_printable((int)c) ? (int)c : -1;
    if (c >= 256 + OTHERS)
        return -1;
    /* the others are 0..32, 127..160 and 173 */
    uint32_t n = c - 256;
    return (int)(n < 33 ? n : n < 67 ? n - 33 + 127 : 173);
}

static uint32_t character_from_byte(unsigned char byte)
{
    if (is_printable(byte))
        return byte;
    return 256u + (byte < 33 ? byte : byte < 173 ? byte - 127u + 33 : 67u);
}

/* Two bytes at most each: all characters are below U+0800. */
static void append_bytes(struct strbuf *out, const char *text, size_t size)
{
    strbuf_reserve(out, 2 * size);
    char *p = out->data + out->size;
    for (size_t i = 0; i < size; i++) {
        uint32_t c = character_from_byte((unsigned char)text[i]);
        if (c < 0x80) {
            *p++ = (char)c;
        } else {
            *p++ = (char)(0xc0 | c >> 6);
            *p++ = (char)(0x80 | (c & 0x3f));
        }
    }
    out->size = (size_t)(p - out->data);
    *p = 0;
}

void steps_release(struct steps *s)
{
    for (int i = 0; i < s->count; i++) {
        pattern_free(s->step[i].pattern);
        strbuf_release(&s->step[i].text);
    }
    s->count = 0;
}

void steps_memory_init(struct steps_memory *m)
{
    m->patterns = pattern_memory_new();
    for (int i = 0; i < STEPS_MAX; i++)
        strbuf_init(&m->made[i]);
}

void steps_memory_release(struct steps_memory *m)
{
    pattern_memory_free(m->patterns);
    for (int i = 0; i < STEPS_MAX; i++)
        strbuf_release(&m->made[i]);
}

/* One run of all steps. */
struct run {
    const struct steps *steps;
    struct steps_memory *memory;
    step_sink *sink;
    void *context;
};

static void run_from(const struct run *r, int step, const char *text, size_t size, bool first);

static void append_replaced(struct strbuf *out, const struct step *s, struct pattern_memory *m, const char *text,
                            size_t size)
{
    struct pattern_walk w;
    pattern_walk_init(&w, s->pattern, m, text, size);
    size_t kept = 0;
    while (pattern_walk_next(&w)) {
        strbuf_add(out, text + kept, w.start - kept);
        strbuf_add(out, s->text.data, s->text.size);
        kept = w.end;
    }
    strbuf_add(out, text + kept, size - kept);
}

static bool wants_prefix(const struct step *s, const char *text, size_t size, bool first)
{
    if (s->only_first && !first)
        return false;
    return !s->unless_there || size < s->text.size || memcmp(text, s->text.data, s->text.size);
}

/* The text that a step other than a split makes of a piece. */
static void append_changed(struct strbuf *out, const struct step *s, struct pattern_memory *m, const char *text,
                           size_t size, bool first)
{
    switch (s->kind) {
    case STEP_NFC:
        unicode_append_nfc(out, text, size);
        break;
    case STEP_PREFIX:
        if (wants_prefix(s, text, size, first))
            strbuf_add(out, s->text.data, s->text.size);
        strbuf_add(out, text, size);
        break;
    case STEP_REPLACE:
        append_replaced(out, s, m, text, size);
        break;
    case STEP_BYTES:
        append_bytes(out, text, size);
        break;
    case STEP_SPLIT:
        break;
    }
}

/* A piece of a split that may still grow, and whether what it ended with was a match. */
struct segment {
    size_t start, end;
    bool open, match;
};

static void pass_segment(const struct run *r, int step, const char *text, const struct segment *g, bool first)
{
    bool removed = g->match && r->steps->step[step].behavior == SPLIT_REMOVED;
    if (g->open && g->end > g->start && !removed)
        run_from(r, step + 1, text + g->start, g->end - g->start, first && g->start == 0);
}

static bool joins(enum split_behavior b, const struct segment *g, bool match)
{
    switch (b) {
    case SPLIT_CONTIGUOUS:
        return match == g->match;
    case SPLIT_MERGED_WITH_PREVIOUS:
        return match && !g->match;
    case SPLIT_MERGED_WITH_NEXT:
        return !match && g->match;
    default:
        return false;
    }
}

static void add_segment(const struct run *r, int step, const char *text, struct segment *g, struct segment next,
                        bool first)
{
    if (g->open && joins(r->steps->step[step].behavior, g, next.match)) {
        g->end = next.end;
        g->match = next.match;
        return;
    }
    pass_segment(r, step, text, g, first);
    *g = next;
}

static void split(const struct run *r, int step, const char *text, size_t size, bool first)
{
    const struct step *s = &r->steps->step[step];
    struct segment open = {0};
    struct pattern_walk w;
    size_t done = 0;
    pattern_walk_init(&w, s->pattern, r->memory->patterns, text, size);
    while (pattern_walk_next(&w)) {
        if (w.start > done)
            add_segment(r, step, text, &open, (struct segment){done, w.start, true, s->invert}, first);
        add_segment(r, step, text, &open, (struct segment){w.start, w.end, true, !s->invert}, first);
        done = w.end;
    }
    if (done < size)
        add_segment(r, step, text, &open, (struct segment){done, size, true, s->invert}, first);
    pass_segment(r, step, text, &open, first);
}

static void run_from(const struct run *r, int step, const char *text, size_t size, bool first)
{
    if (!size)
        return;
    if (step == r->steps->count) {
        r->sink(r->context, text, size, first);
        return;
    }
    const struct step *s = &r->steps->step[step];
    if (s->kind == STEP_SPLIT) {
        split(r, step, text, size, first);
        return;
    }
    struct strbuf *made = &r->memory->made[step];
    strbuf_clear(made);
    append_changed(made, s, r->memory->patterns, text, size, first);
    run_from(r, step + 1, made->data, made->size, first);
}

void steps_run(const struct steps *s, struct steps_memory *m, const char *text, size_t size, bool first,
               step_sink *sink, void *context)
{
    const struct run r = {s, m, sink, context};
    run_from(&r, 0, text, size, first);
}
