/* A growing string. data is always terminated; it may hold zero bytes in between, so size is what counts. */
#ifndef RETORT_BASE_STRBUF_H
#define RETORT_BASE_STRBUF_H

#include <stdarg.h>
#include <stddef.h>

struct strbuf {
    char *data; /* owned; "" when empty */
    size_t size, room;
};

void strbuf_init(struct strbuf *s);
void strbuf_release(struct strbuf *s);
void strbuf_clear(struct strbuf *s); /* empty, keeps its memory */
void strbuf_reserve(struct strbuf *s, size_t more);
void strbuf_add(struct strbuf *s, const void *bytes, size_t n);
void strbuf_adds(struct strbuf *s, const char *text);
void strbuf_addc(struct strbuf *s, char c);
void strbuf_printf(struct strbuf *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void strbuf_vprintf(struct strbuf *s, const char *format, va_list ap);

/* The string, which the caller frees with mem_free; s is empty afterwards. */
char *strbuf_detach(struct strbuf *s);

#endif
