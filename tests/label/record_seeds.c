/* Writes the seeds of fuzz_record, which are committed: record_seeds DIRECTORY. For every format one record, and one
 * with its body not compressed (the header is then followed by the bare columns). Only to be run when the format
 * changes. */
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "base/file.h"
#include "base/mem.h"
#include "label/record_format.h"
#include "made.h"

static int write_seed(const char *directory, const char *what, int format, const void *bytes, size_t size)
{
    struct err e = {0};
    char *path = mem_printf("%s/%s-%d.bin", directory, what, format);
    const int failed = file_write(path, bytes, size, &e);
    if (failed)
        fprintf(stderr, "%s\n", e.text);
    mem_free(path);
    return failed;
}

int main(int argc, char **argv)
{
    static unsigned char bare[1 << 16];
    int failed = argc != 2;
    for (int format = 0; !failed && format < MADE_FORMATS; format++) {
        const struct label_spec spec = made_spec(format);
        struct made *m = mem_alloc(sizeof *m);
        size_t size;
        made_fill(m, &spec, 5);
        m->labels = 3;
        unsigned char *bytes = made_record(m, &size);
        memcpy(bare, bytes, RECORD_HEADER_BYTES);
        const size_t raw = ZSTD_decompress(bare + RECORD_HEADER_BYTES, sizeof bare - RECORD_HEADER_BYTES,
                                           bytes + RECORD_HEADER_BYTES, size - RECORD_HEADER_BYTES);
        failed = ZSTD_isError(raw) || write_seed(argv[1], "record", format, bytes, size) ||
                 write_seed(argv[1], "bare", format, bare, RECORD_HEADER_BYTES + raw);
        mem_free(bytes);
        mem_free(m);
    }
    return failed;
}
