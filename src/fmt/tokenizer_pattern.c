#define PCRE2_CODE_UNIT_WIDTH 8
#include "fmt/tokenizer_pattern.h"

#include <pcre2.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "fmt/unicode.h"

/* A word of text never comes near these; a pattern that doubles its work with every character does. */
enum { STEPS_FIRST = 1000000, STEPS_PER_BYTE = 100, JIT_STACK_FIRST = 64 << 10, JIT_STACK_MOST = 16 << 20 };

struct pattern {
    pcre2_code *code; /* NULL: a literal */
    struct strbuf literal;
};

struct pattern_memory {
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

static struct pattern *pattern_new(void)
{
    struct pattern *p = mem_alloc(sizeof *p);
    strbuf_init(&p->literal);
    return p;
}

static pcre2_code *compile(const struct strbuf *translated, const char *where, struct err *e)
{
    int fault;
    PCRE2_SIZE place;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context)
        mem_exhausted(sizeof context);
    /* Oniguruma: only \n ends a line, and ^ and $ mean lines */
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)translated->data, translated->size,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &fault, &place, context);
    pcre2_compile_context_free(context);
    if (!code) {
        char text[128];
        pcre2_get_error_message(fault, (PCRE2_UCHAR *)text, sizeof text);
        err_set(e, ERR_INPUT, "%s: the pattern cannot be used: %s (at byte %zu of %.200s)", where, text, place,
                translated->data);
        return NULL;
    }
    /* where the system forbids new machine code this fails and PCRE2 interprets: slower, the same matches */
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    return code;
}

int pattern_compile(struct pattern **out, const char *source, const char *where, struct err *e)
{
    struct strbuf translated;
    strbuf_init(&translated);
    pcre2_code *code = NULL;
    if (!pattern_translate(&translated, source, where, e))
        code = compile(&translated, where, e);
    strbuf_release(&translated);
    if (!code)
        return -1;
    *out = pattern_new();
    (*out)->code = code;
    return 0;
}

struct pattern *pattern_literal(const char *text, size_t size)
{
    struct pattern *p = pattern_new();
    strbuf_add(&p->literal, text, size);
    return p;
}

void pattern_free(struct pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    strbuf_release(&p->literal);
    mem_free(p);
}

struct pattern_memory *pattern_memory_new(void)
{
    struct pattern_memory *m = mem_alloc(sizeof *m);
    m->match = pcre2_match_data_create(1, NULL); /* the whole match; groups are never asked for */
    m->context = pcre2_match_context_create(NULL);
    if (!m->match || !m->context)
        mem_exhausted(sizeof *m);
    m->stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MOST, NULL); /* NULL where there is no JIT */
    if (m->stack)
        pcre2_jit_stack_assign(m->context, NULL, m->stack);
    return m;
}

void pattern_memory_free(struct pattern_memory *m)
{
    if (!m)
        return;
    pcre2_jit_stack_free(m->stack);
    pcre2_match_context_free(m->context);
    pcre2_match_data_free(m->match);
    mem_free(m);
}

void pattern_walk_init(struct pattern_walk *w, const struct pattern *p, struct pattern_memory *m, const char *text,
                       size_t size)
{
    *w = (struct pattern_walk){.pattern = p, .memory = m, .text = text, .size = size};
    if (p->code)
        pcre2_set_match_limit(m->context, size < 10000000 ? (uint32_t)(STEPS_FIRST + size * STEPS_PER_BYTE) : 1u << 31);
}

static bool find_literal(struct pattern_walk *w)
{
    const struct strbuf *what = &w->pattern->literal;
    const char *found = memmem(w->text + w->at, w->size - w->at, what->data, what->size);
    if (!found)
        return false;
    w->start = (size_t)(found - w->text);
    w->end = w->start + what->size;
    return true;
}

static int match_once(const struct pattern_walk *w, uint32_t options)
{
    return pcre2_match(w->pattern->code, (PCRE2_SPTR)w->text, w->size, w->at, PCRE2_NO_UTF_CHECK | options,
                       w->memory->match, w->memory->context);
}

static bool find_match(struct pattern_walk *w)
{
    int rc = match_once(w, 0);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = match_once(w, PCRE2_NO_JIT); /* its stack is the heap */
    if (rc < 0) {
        if (rc != PCRE2_ERROR_NOMATCH)
            log_warning("tokenizer: a split pattern gave up on %zu bytes of text (PCRE2 error %d): they are not split",
                        w->size - w->at, rc);
        return false;
    }
    const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(w->memory->match);
    w->start = bounds[0];
    w->end = bounds[1];
    return true;
}

static bool at_last_end(const struct pattern_walk *w)
{
    return w->start == w->end && w->matched && w->end == w->last_end;
}

static size_t character_at(const struct pattern_walk *w)
{
    const char *p = w->text + w->at;
    if (w->at < w->size)
        utf8_next(&p);
    return w->at < w->size ? (size_t)(p - w->text) : w->size + 1;
}

bool pattern_walk_next(struct pattern_walk *w)
{
    do {
        if (w->at > w->size || !(w->pattern->code ? find_match(w) : find_literal(w)))
            return false;
        w->at = at_last_end(w) ? character_at(w) : w->end;
    } while (at_last_end(w));
    w->last_end = w->end;
    w->matched = true;
    return true;
}
