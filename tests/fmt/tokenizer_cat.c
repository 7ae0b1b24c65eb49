/* tokenizer_cat MODEL FILE: the ids of FILE, one line, then the text that they decode to. For tools/reference/
 * tokenizer_compare.py, which compares both with the `tokenizers` package. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "fmt/tokenizer.h"

static int cat(const struct tokenizer *t, const struct file_map *m)
{
    struct token_list ids = {0};
    struct strbuf text;
    strbuf_init(&text);
    double begin = clock_seconds();
    tokenizer_encode(t, (const char *)m->data, m->size, &ids, NULL);
    double middle = clock_seconds();
    tokenizer_decode(t, ids.ids, ids.count, false, &text);
    fprintf(stderr, "encode %.3f s, decode %.3f s\n", middle - begin, clock_seconds() - middle);
    for (size_t i = 0; i < ids.count; i++)
        printf("%u ", ids.ids[i]);
    putchar('\n');
    fwrite(text.data, 1, text.size, stdout);
    strbuf_release(&text);
    token_list_release(&ids);
    return ferror(stdout);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct tokenizer *t = NULL;
    struct file_map m = {0};
    if (argc != 3)
        return 2;
    int rc = tokenizer_open(&t, argv[1], &e) || file_map_open(&m, argv[2], &e) || cat(t, &m);
    if (rc)
        fprintf(stderr, "%s\n", e.text);
    file_map_close(&m);
    tokenizer_close(t);
    return rc;
}
