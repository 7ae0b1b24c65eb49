/* From Oniguruma's Ruby syntax to PCRE2's. Every construct is either known to mean the same in both, rewritten, or
 * refused.
 *
 * What differs and is rewritten: \s (PCRE2 adds U+180E), \d, \w, \h, \v; {n,m}+ (a repeat of a repeat, not possessive);
 * {,n}; (?m) (dot matches newline); \uHHHH; \p{Script} (PCRE2 would read script extensions); and properties get the
 * characters that came after PCRE2's Unicode. Refused among others: nested
 * and intersected classes, \b, back references, options in the middle of a branch (they reach over | in Ruby only). */
#include "fmt/tokenizer_pattern.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "fmt/unicode.h"

#define SPACE \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define NOT_SPACE                                                                                   \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}" \
    "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"
#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"

/* A letter that stands for a set of characters. inside: what to write in a class; outside it is [inside] or [^negated].
 */
static const struct shorthand {
    char letter;
    const char *inside, *negated;
} shorthands[] = {
    {'s', SPACE, NULL},
    {'S', NOT_SPACE, SPACE},
    {'h', "0-9A-Fa-f", NULL},
    {'H', NULL, "0-9A-Fa-f"},
};

static const char *const categories[] = {"Cc", "Cf", "Co", "L",  "Ll", "Lm", "Lo", "Lt", "Lu", "M",  "Mc", "Me",
                                         "Mn", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Pe", "Pf", "Pi", "Po",
                                         "Ps", "S",  "Sc", "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs"};

enum { DEPTH_MAX = 64, NO_ATOM = -1 };

struct translator {
    struct strbuf *out;
    const char *source, *at, *where;
    struct err *e;
    ptrdiff_t atom; /* where in out the last thing that can be repeated begins */
    size_t groups[DEPTH_MAX];
    bool is_look[DEPTH_MAX]; /* a look-around: not repeated by anybody, so refused */
    int depth;
};

static int refuse(const struct translator *t, const char *what)
{
    return err_set(t->e, ERR_INPUT, "%s: the pattern %.200s cannot be used: %s, at byte %zu, is not supported",
                   t->where, t->source, what, (size_t)(t->at - t->source));
}

static bool starts(const struct translator *t, const char *text)
{
    return !strncmp(t->at, text, strlen(text));
}

static bool is_category(const char *name, size_t size)
{
    for (size_t i = 0; i < sizeof categories / sizeof *categories; i++)
        if (strlen(categories[i]) == size && !memcmp(categories[i], name, size))
            return true;
    return false;
}

static const struct shorthand *find_shorthand(char letter)
{
    for (size_t i = 0; i < sizeof shorthands / sizeof *shorthands; i++)
        if (shorthands[i].letter == letter)
            return &shorthands[i];
    return NULL;
}

static bool is_newer_word(const char *category)
{
    return strchr("LM", *category) || !strcmp(category, "Nd") || !strcmp(category, "Nl");
}

/* What a property has more in today's Unicode than PCRE2 knows. name "" is \w. */
static void add_newer(struct strbuf *out, const char *name, size_t size)
{
    size_t count;
    const struct unicode_range *newer = unicode_newer(&count);
    for (size_t i = 0; i < count; i++)
        if (size ? !strncmp(newer[i].category, name, size) : is_newer_word(newer[i].category))
            strbuf_printf(out, "\\x{%x}-\\x{%x}", newer[i].first, newer[i].last);
}

/* A set of characters, written to stand in a class; outside of one it gets its own. */
static int put_set(struct translator *t, bool in_class, bool negated, const char *text, const char *name, size_t size)
{
    if (in_class && negated)
        return refuse(t, "a negated property in a class");
    if (!in_class)
        strbuf_adds(t->out, negated ? "[^" : "[");
    strbuf_adds(t->out, text);
    add_newer(t->out, name, size);
    if (!in_class)
        strbuf_addc(t->out, ']');
    return 0;
}

/* at stands on p or P of \p{Name}, \p{^Name}, \P{Name}. */
static int translate_property(struct translator *t, bool in_class)
{
    bool negated = *t->at == 'P';
    char text[80];
    if (t->at[1] != '{')
        return refuse(t, "\\p without {");
    const char *name = t->at + 2;
    if (*name == '^') {
        negated = !negated;
        name++;
    }
    size_t size = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_");
    if (!size || size > 40 || name[size] != '}')
        return refuse(t, "the name of this property");
    bool is_script = !is_category(name, size); /* PCRE2 itself refuses a name that is no script */
    snprintf(text, sizeof text, "\\p{%s%.*s}", is_script ? "sc:" : "", (int)size, name);
    if (put_set(t, in_class, negated, text, is_script ? "?" : name, is_script ? 1 : size))
        return -1;
    t->at = name + size + 1;
    return 0;
}

/* d, D, w or W. */
static int translate_digit_or_word(struct translator *t, bool in_class)
{
    bool word = tolower((unsigned char)*t->at) == 'w';
    if (put_set(t, in_class, isupper((unsigned char)*t->at), word ? WORD : "\\p{Nd}", "Nd", word ? 0 : 2))
        return -1;
    t->at++;
    return 0;
}

/* at stands behind the x or u; as many hexadecimal digits as there are from least to most. */
static int translate_code(struct translator *t, size_t least, size_t most)
{
    size_t n = 0;
    while (n < most && isxdigit((unsigned char)t->at[n]))
        n++;
    if (n < least)
        return refuse(t, "a character code without its digits");
    strbuf_printf(t->out, "\\x{%.*s}", (int)n, t->at);
    t->at += n;
    return 0;
}

static int translate_braced_code(struct translator *t)
{
    t->at++;
    if (translate_code(t, 1, 8))
        return -1;
    if (*t->at != '}')
        return refuse(t, "a character code that } does not end");
    t->at++;
    return 0;
}

/* Escapes that mean one character or a property, the same in and out of a class. at stands behind the backslash. */
static int translate_escape(struct translator *t, bool in_class)
{
    char c = *t->at;
    if (c == 'p' || c == 'P')
        return translate_property(t, in_class);
    if (c && strchr("dDwW", c))
        return translate_digit_or_word(t, in_class);
    if (c == 'x' || c == 'u') {
        t->at++;
        if (c == 'x' && *t->at == '{')
            return translate_braced_code(t);
        return c == 'x' ? translate_code(t, 1, 2) : translate_code(t, 4, 4);
    }
    if (strchr("nrtfae", c) && c) {
        strbuf_printf(t->out, "\\%c", c);
    } else if (c == 'v') {
        strbuf_adds(t->out, "\\x{b}"); /* PCRE2 reads \v as every vertical space */
    } else if (ispunct((unsigned char)c) || c == ' ') {
        strbuf_printf(t->out, "\\%c", c);
    } else if ((unsigned char)c >= 0x80) {
        return 0; /* a backslash before such a character means nothing; the character itself follows */
    } else {
        return refuse(t, "this escape");
    }
    t->at++;
    return 0;
}

static int translate_class_escape(struct translator *t)
{
    t->at++;
    const struct shorthand *s = find_shorthand(*t->at);
    if (!s)
        return translate_escape(t, true);
    if (!s->inside)
        return refuse(t, "a negated set in a class");
    strbuf_adds(t->out, s->inside);
    t->at++;
    return 0;
}

/* at stands on [. */
static int translate_class(struct translator *t)
{
    t->at++;
    strbuf_addc(t->out, '[');
    if (*t->at == '^')
        strbuf_addc(t->out, *t->at++);
    if (*t->at == ']')
        return refuse(t, "] as the first of a class (write \\])");
    while (*t->at != ']') {
        if (!*t->at)
            return refuse(t, "a class without its end");
        if (*t->at == '[')
            return refuse(t, "a class in a class");
        if (starts(t, "&&"))
            return refuse(t, "an intersection of classes");
        if (*t->at == '\\') {
            if (translate_class_escape(t))
                return -1;
        } else {
            strbuf_addc(t->out, *t->at++);
        }
    }
    strbuf_addc(t->out, *t->at++);
    return 0;
}

/* at stands behind a backslash outside of a class. */
static int translate_atom_escape(struct translator *t)
{
    size_t begin = t->out->size;
    const struct shorthand *s = find_shorthand(*t->at);
    if (*t->at == 'A' || *t->at == 'z' || *t->at == 'Z') {
        strbuf_printf(t->out, "\\%c", *t->at++);
        t->atom = NO_ATOM;
        return 0;
    }
    if (s) {
        strbuf_printf(t->out, s->negated ? "[^%s]" : "[%s]", s->negated ? s->negated : s->inside);
        t->at++;
    } else if (translate_escape(t, false)) {
        return -1;
    }
    if (t->out->size > begin)
        t->atom = (ptrdiff_t)begin;
    return 0;
}

/* (?i: or (?m-i: or, at the beginning of the pattern, (?i). at stands on the question mark; Ruby's m is PCRE2's s. */
static int translate_options(struct translator *t)
{
    strbuf_addc(t->out, *t->at++);
    size_t n = strspn(t->at, "im-");
    if (!n || (t->at[n] != ':' && t->at[n] != ')'))
        return refuse(t, "this kind of group");
    if (t->at[n] == ')' && t->at != t->source + 2)
        return refuse(t, "an option that is not at the beginning");
    for (size_t i = 0; i < n; i++)
        strbuf_addc(t->out, t->at[i] == 'm' ? 's' : t->at[i]);
    if (t->at[n] == ')')
        t->depth--;
    t->at += n;
    strbuf_addc(t->out, *t->at++);
    return 0;
}

/* at stands on (. */
static int translate_group(struct translator *t)
{
    static const struct {
        const char *text;
        bool is_look;
    } openings[] = {{"(?:", false}, {"(?>", false}, {"(?=", true}, {"(?!", true}, {"(?<=", true}, {"(?<!", true}};
    if (t->depth == DEPTH_MAX)
        return refuse(t, "a group this deep");
    t->groups[t->depth] = t->out->size;
    t->is_look[t->depth] = false;
    t->atom = NO_ATOM;
    t->depth++;
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++)
        if (starts(t, openings[i].text)) {
            t->is_look[t->depth - 1] = openings[i].is_look;
            strbuf_adds(t->out, openings[i].text);
            t->at += strlen(openings[i].text);
            return 0;
        }
    if (t->at[1] == '*')
        return refuse(t, "this kind of group");
    strbuf_addc(t->out, *t->at++);
    return *t->at == '?' ? translate_options(t) : 0;
}

static int close_group(struct translator *t)
{
    if (!t->depth)
        return refuse(t, "an unmatched )");
    t->depth--;
    t->atom = t->is_look[t->depth] ? NO_ATOM : (ptrdiff_t)t->groups[t->depth];
    strbuf_addc(t->out, *t->at++);
    return 0;
}

/* Puts (?: ) around the last atom and its repeat, so that what follows repeats both. */
static void wrap_atom(struct translator *t)
{
    struct strbuf tail;
    strbuf_init(&tail);
    strbuf_adds(&tail, t->out->data + t->atom);
    t->out->size = (size_t)t->atom;
    strbuf_printf(t->out, "(?:%s)", tail.data);
    strbuf_release(&tail);
}

/* Whether at stands on {n}, {n,}, {n,m} or {,m}; any other { is a character. *length of it; *range: there is a comma.
 */
static bool is_interval(const struct translator *t, size_t *length, bool *range)
{
    const char *p = t->at + 1;
    size_t least = strspn(p, "0123456789"), most = 0;
    *range = p[least] == ',';
    if (*range)
        most = strspn(p + least + 1, "0123456789");
    size_t inside = least + *range + most;
    *length = inside + 2;
    return least + most && p[inside] == '}';
}

static int translate_interval(struct translator *t, size_t length, bool range)
{
    bool from_zero = t->at[1] == ',';
    strbuf_addc(t->out, '{');
    if (from_zero)
        strbuf_addc(t->out, '0');
    strbuf_add(t->out, t->at + 1, length - 1);
    t->at += length;
    if (*t->at == '?' && !range)
        return refuse(t, "{n}?");
    if (*t->at == '?') {
        strbuf_addc(t->out, *t->at++);
    } else if (*t->at == '+') {
        wrap_atom(t);
        strbuf_addc(t->out, *t->at++);
    }
    return 0;
}

/* A repeat; at stands on its first character. */
static int translate_repeat(struct translator *t, size_t interval, bool range)
{
    if (t->atom == NO_ATOM)
        return refuse(t, "a repeat of nothing");
    if (interval) {
        if (translate_interval(t, interval, range))
            return -1;
    } else {
        strbuf_addc(t->out, *t->at++);
        if (*t->at == '?' || *t->at == '+')
            strbuf_addc(t->out, *t->at++);
    }
    if (*t->at && strchr("*+?", *t->at))
        return refuse(t, "a repeat of a repeat");
    t->atom = NO_ATOM;
    return 0;
}

/* One character that means itself, whole, so that a repeat after it repeats all of its bytes. */
static int translate_character(struct translator *t)
{
    t->atom = (ptrdiff_t)t->out->size;
    do
        strbuf_addc(t->out, *t->at++);
    while (((unsigned char)*t->at & 0xc0) == 0x80);
    return 0;
}

static int translate_next(struct translator *t)
{
    size_t length = 0;
    bool range = false;
    switch (*t->at) {
    case '\\':
        t->at++;
        return translate_atom_escape(t);
    case '[':
        t->atom = (ptrdiff_t)t->out->size;
        return translate_class(t);
    case '(':
        return translate_group(t);
    case ')':
        return close_group(t);
    case '*':
    case '+':
    case '?':
        return translate_repeat(t, 0, false);
    case '{':
        if (is_interval(t, &length, &range))
            return translate_repeat(t, length, range);
        t->atom = (ptrdiff_t)t->out->size;
        strbuf_adds(t->out, "\\{");
        t->at++;
        return 0;
    case '|':
    case '^':
    case '$':
        t->atom = NO_ATOM;
        strbuf_addc(t->out, *t->at++);
        return 0;
    default:
        return translate_character(t);
    }
}

int pattern_translate(struct strbuf *out, const char *source, const char *where, struct err *e)
{
    struct translator t = {.out = out, .source = source, .at = source, .where = where, .e = e, .atom = NO_ATOM};
    while (*t.at)
        if (translate_next(&t))
            return -1;
    return t.depth ? refuse(&t, "a group without its end") : 0;
}
