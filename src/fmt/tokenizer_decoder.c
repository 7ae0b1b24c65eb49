#include "fmt/tokenizer_decoder.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "fmt/tokenizer_steps.h"
#include "fmt/unicode.h"

static const char replacement[] = "\xef\xbf\xbd";

void decoder_release(struct decoder *d)
{
    for (int i = 0; i < d->count; i++) {
        pattern_free(d->step[i].pattern);
        strbuf_release(&d->step[i].text);
    }
    d->count = 0;
}

void pieces_init(struct pieces *p)
{
    *p = (struct pieces){0};
    strbuf_init(&p->bytes);
}

void pieces_release(struct pieces *p)
{
    strbuf_release(&p->bytes);
    mem_free(p->ends);
}

/* What was added to bytes since the last piece is a piece. */
static void end_piece(struct pieces *p)
{
    if (p->count == p->room) {
        p->room = p->room ? 2 * p->room : 256;
        p->ends = mem_resize(p->ends, p->room, sizeof *p->ends);
    }
    p->ends[p->count++] = p->bytes.size;
}

void pieces_add(struct pieces *p, const char *text, size_t size)
{
    strbuf_add(&p->bytes, text, size);
    end_piece(p);
}

static const char *piece_at(const struct pieces *p, size_t i, size_t *size)
{
    size_t begin = i ? p->ends[i - 1] : 0;
    *size = p->ends[i] - begin;
    return p->bytes.data + begin;
}

/* The bytes that a piece of GPT-2's alphabet stands for; a piece with any other character stands for itself. */
static void append_byte_level(struct strbuf *out, const char *piece, size_t size)
{
    size_t before = out->size;
    for (const char *p = piece; p < piece + size;) {
        int byte = bytes_from_character(utf8_next(&p));
        if (byte < 0) {
            out->size = before;
            strbuf_add(out, piece, size);
            return;
        }
        strbuf_addc(out, (char)byte);
    }
}

static void decode_byte_level(const struct pieces *in, struct pieces *out)
{
    struct strbuf bytes;
    strbuf_init(&bytes);
    for (size_t i = 0; i < in->count; i++) {
        size_t size;
        const char *piece = piece_at(in, i, &size);
        append_byte_level(&bytes, piece, size);
    }
    utf8_append_repaired(&out->bytes, bytes.data, bytes.size);
    end_piece(out);
    strbuf_release(&bytes);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int byte_of_piece(const char *piece, size_t size)
{
    if (size != 6 || memcmp(piece, "<0x", 3) || piece[5] != '>')
        return -1;
    int high = piece[3] == '+' ? 0 : hex_digit(piece[3]), low = hex_digit(piece[4]); /* Rust reads a sign there */
    return high < 0 || low < 0 ? -1 : 16 * high + low;
}

static void end_bytes(struct strbuf *bytes, struct pieces *out)
{
    if (!bytes->size)
        return;
    if (utf8_valid_prefix(bytes->data, bytes->size) == bytes->size)
        pieces_add(out, bytes->data, bytes->size);
    else
        for (size_t i = 0; i < bytes->size; i++)
            pieces_add(out, replacement, sizeof replacement - 1);
    strbuf_clear(bytes);
}

static void decode_byte_fallback(const struct pieces *in, struct pieces *out)
{
    struct strbuf bytes;
    strbuf_init(&bytes);
    for (size_t i = 0; i < in->count; i++) {
        size_t size;
        const char *piece = piece_at(in, i, &size);
        int byte = byte_of_piece(piece, size);
        if (byte >= 0) {
            strbuf_addc(&bytes, (char)byte);
            continue;
        }
        end_bytes(&bytes, out);
        pieces_add(out, piece, size);
    }
    end_bytes(&bytes, out);
    strbuf_release(&bytes);
}

static void decode_fuse(const struct pieces *in, struct pieces *out)
{
    pieces_add(out, in->bytes.data, in->bytes.size);
}

static void replace_in_piece(const struct decoder_step *s, struct pattern_memory *m, const char *piece, size_t size,
                             struct pieces *out)
{
    struct pattern_walk w;
    size_t kept = 0;
    pattern_walk_init(&w, s->pattern, m, piece, size);
    while (size && pattern_walk_next(&w)) {
        strbuf_add(&out->bytes, piece + kept, w.start - kept);
        strbuf_add(&out->bytes, s->text.data, s->text.size);
        kept = w.end;
    }
    strbuf_add(&out->bytes, piece + kept, size - kept);
    end_piece(out);
}

static void decode_replace(const struct decoder_step *s, const struct pieces *in, struct pieces *out)
{
    struct pattern_memory *m = pattern_memory_new();
    for (size_t i = 0; i < in->count; i++) {
        size_t size;
        const char *piece = piece_at(in, i, &size);
        replace_in_piece(s, m, piece, size, out);
    }
    pattern_memory_free(m);
}

static void strip_piece(const struct decoder_step *s, const char *piece, size_t size, struct pieces *out)
{
    const char *what = s->text.data;
    size_t n = s->text.size;
    for (size_t i = 0; i < s->from_start && size >= n && !memcmp(piece, what, n); i++) {
        piece += n;
        size -= n;
    }
    for (size_t i = 0; i < s->from_end && size >= n && !memcmp(piece + size - n, what, n); i++)
        size -= n;
    pieces_add(out, piece, size);
}

static void decode_strip(const struct decoder_step *s, const struct pieces *in, struct pieces *out)
{
    for (size_t i = 0; i < in->count; i++) {
        size_t size;
        const char *piece = piece_at(in, i, &size);
        strip_piece(s, piece, size, out);
    }
}

static void decode_metaspace(const struct decoder_step *s, const struct pieces *in, struct pieces *out)
{
    for (size_t i = 0; i < in->count; i++) {
        size_t size, n = s->text.size;
        const char *piece = piece_at(in, i, &size), *end = piece + size, *mark;
        while ((mark = memmem(piece, (size_t)(end - piece), s->text.data, n))) {
            strbuf_add(&out->bytes, piece, (size_t)(mark - piece));
            if (i || !s->drops_first)
                strbuf_addc(&out->bytes, ' ');
            piece = mark + n;
        }
        pieces_add(out, piece, (size_t)(end - piece));
    }
}

static void run_step(const struct decoder_step *s, const struct pieces *in, struct pieces *out)
{
    switch (s->kind) {
    case DECODE_BYTE_LEVEL:
        decode_byte_level(in, out);
        break;
    case DECODE_BYTE_FALLBACK:
        decode_byte_fallback(in, out);
        break;
    case DECODE_REPLACE:
        decode_replace(s, in, out);
        break;
    case DECODE_FUSE:
        decode_fuse(in, out);
        break;
    case DECODE_STRIP:
        decode_strip(s, in, out);
        break;
    case DECODE_METASPACE:
        decode_metaspace(s, in, out);
        break;
    }
}

static void append_joined(struct strbuf *out, const struct pieces *p)
{
    for (size_t i = 0; i < p->count; i++) {
        size_t size;
        const char *piece = piece_at(p, i, &size);
        if (i)
            strbuf_addc(out, ' ');
        strbuf_add(out, piece, size);
    }
}

void decoder_run(const struct decoder *d, struct pieces *p, struct strbuf *out)
{
    for (int i = 0; i < d->count; i++) {
        struct pieces next;
        pieces_init(&next);
        run_step(&d->step[i], p, &next);
        pieces_release(p);
        *p = next;
    }
    if (d->count)
        strbuf_add(out, p->bytes.data, p->bytes.size);
    else
        append_joined(out, p);
}
