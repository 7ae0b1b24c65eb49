/* Writes the seeds of fuzz_record, fuzz_store_file and fuzz_store_json, which are committed: record_seeds DIRECTORY.
 * For every format one record, and one with its body not compressed (the header is then followed by the bare columns);
 * a sealed file of three records, its header without the padding; a store.json of each kind. Only to be run when the
 * format changes. */
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "label/record_format.h"
#include "label/store_file_format.h"
#include "label/store_internal.h"
#include "made.h"
#include "stores.h"

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

/* A sealed file as fuzz_store_file takes it. */
static int write_store_seed(const char *directory, struct err *e)
{
    struct store_writer *w;
    struct file_map map;
    char *path = file_join(directory, "made.safetensors");
    int failed = store_writer_new(&w, directory, "made", "nobody", e);
    for (int format = 0; !failed && format < 3; format++) {
        static struct made m;
        const struct label_spec spec = made_spec(format);
        size_t size;
        made_fill(&m, &spec, 6);
        m.labels = 2;
        void *record = made_record(&m, &size);
        failed = store_writer_append(w, record, size, e);
        mem_free(record);
    }
    if (!failed && !store_writer_seal(w, e) && !file_map_open(&map, path, e)) {
        size_t json = STORE_HEADER_BYTES;
        while (map.data[json - 1] == ' ')
            json--;
        struct strbuf seed;
        strbuf_init(&seed);
        strbuf_add(&seed, map.data + sizeof(uint64_t), json - sizeof(uint64_t));
        strbuf_addc(&seed, '\n');
        strbuf_add(&seed, map.data + STORE_HEADER_BYTES, map.size - STORE_HEADER_BYTES);
        write_seed(directory, "store", 0, seed.data, seed.size);
        strbuf_release(&seed);
        file_map_close(&map);
        file_remove_tree(path, e);
    }
    store_writer_free(w);
    mem_free(path);
    return e->code == ERR_NONE ? 0 : -1;
}

static int write_json_seed(const char *directory, int format)
{
    const struct store_description d = stores_description(format);
    struct strbuf text;
    strbuf_init(&text);
    store_print(&d, &text);
    const int failed = write_seed(directory, "store-json", format, text.data, text.size);
    strbuf_release(&text);
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
    for (int format = 0; !failed && format < MADE_FORMATS; format += 4)
        failed = write_json_seed(argv[1], format);
    struct err e = {0};
    if (!failed && write_store_seed(argv[1], &e)) {
        fprintf(stderr, "%s\n", e.text);
        failed = 1;
    }
    return failed;
}
