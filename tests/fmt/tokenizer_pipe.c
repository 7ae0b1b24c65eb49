/* The tokenizer on a pipe, for tools/reference/tokenizer_oracle.py: requests on stdin, answers on stdout, all numbers
 * little-endian u32.
 *
 *     tokenizer_pipe MODEL [OUT]      with OUT: writes the tokenizer's own files there, answers nothing
 *
 * Request 'E' size bytes: encode; the answer is count, ids. Request 'D' count ids: decode; the answer is size, bytes,
 * with special tokens, and again without. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "fmt/tokenizer.h"

static int read_u32(uint32_t *v)
{
    return fread(v, sizeof *v, 1, stdin) == 1 ? 0 : -1;
}

static void answer(const void *items, size_t count, size_t size)
{
    uint32_t n = (uint32_t)count;
    fwrite(&n, sizeof n, 1, stdout);
    fwrite(items, size, count, stdout);
}

static int encode(const struct tokenizer *t)
{
    struct token_list ids = {0};
    uint32_t size;
    if (read_u32(&size))
        return -1;
    char *text = mem_alloc(size);
    size_t got = fread(text, 1, size, stdin);
    tokenizer_encode(t, text, got, &ids, NULL);
    answer(ids.ids, ids.count, sizeof *ids.ids);
    token_list_release(&ids);
    mem_free(text);
    return got == size ? 0 : -1;
}

static int decode(const struct tokenizer *t)
{
    struct strbuf text;
    uint32_t count;
    if (read_u32(&count))
        return -1;
    uint32_t *ids = mem_array(count, sizeof *ids);
    size_t got = fread(ids, sizeof *ids, count, stdin);
    strbuf_init(&text);
    for (int skip = 0; skip < 2; skip++) {
        strbuf_clear(&text);
        tokenizer_decode(t, ids, got, skip, &text);
        answer(text.data, text.size, 1);
    }
    strbuf_release(&text);
    mem_free(ids);
    return got == count ? 0 : -1;
}

static int serve(const struct tokenizer *t)
{
    int kind, rc = 0;
    while (!rc && (kind = getchar()) != EOF)
        rc = kind == 'E' ? encode(t) : kind == 'D' ? decode(t) : -1;
    return rc;
}

int main(int argc, char **argv)
{
    struct tokenizer *t;
    struct err e = {0};
    if (argc < 2) {
        fprintf(stderr, "usage: tokenizer_pipe MODEL [OUT]\n");
        return ERR_USAGE;
    }
    if (tokenizer_open(&t, argv[1], &e) || (argc > 2 && tokenizer_write(t, argv[2], &e))) {
        fprintf(stderr, "%s\n", e.text);
        return (int)e.code;
    }
    int rc = argc > 2 ? 0 : serve(t);
    tokenizer_close(t);
    if (rc)
        fprintf(stderr, "tokenizer_pipe: the request is cut\n");
    return rc ? ERR_INPUT : 0;
}
