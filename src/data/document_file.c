/* Data files: cut into records (a file or a line each), which threads make into documents, a batch at a time. */
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "data/document.h"

/* A batch is large enough to keep the threads busy, small enough that text and tokens of it never matter. */
enum { BATCH_RECORDS = 512, BATCH_BYTES = 8 << 20 };

struct record {
    const char *text;
    size_t size;
    int64_t line;
    struct document document;
    struct err err;
    int rc;
};

struct reader {
    const char *at, *end;
    int64_t line; /* the number of the line at `at`, from 1 */
    bool lines;
};

static bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);
    return n >= k && strcmp(s + n - k, suffix) == 0;
}

static bool is_blank(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!strchr(" \t\r\n", text[i]) || !text[i])
            return false;
    return true;
}

/* The next record that is not blank; false at the end. */
static bool next_record(struct reader *r, struct record *out)
{
    while (r->at < r->end) {
        const char *text = r->at, *stop = r->end;
        if (r->lines) {
            const char *newline = memchr(text, '\n', (size_t)(r->end - text));
            stop = newline ? newline : r->end;
        }
        int64_t line = r->line++;
        r->at = stop < r->end ? stop + 1 : r->end;
        if (r->lines && is_blank(text, (size_t)(stop - text)))
            continue;
        *out = (struct record){.text = text, .size = (size_t)(stop - text), .line = line};
        return true;
    }
    return false;
}

static int next_batch(struct reader *r, struct record *batch)
{
    int count = 0;
    size_t bytes = 0;
    while (count < BATCH_RECORDS && bytes < BATCH_BYTES && next_record(r, &batch[count]))
        bytes += batch[count++].size;
    return count;
}

static void tokenise(struct record *record, const struct data_file *file, bool lines, const struct document_rules *r)
{
    if (lines)
        record->rc = document_from_json(&record->document, r, file->format, record->text, record->size, &record->err);
    else
        document_from_text(&record->document, r, record->text, record->size);
}

static int visit_batch(struct record *batch, int count, const char *path, document_visit *visit, void *context,
                       struct err *e)
{
    int rc = 0;
    for (int i = 0; i < count; i++) {
        struct record *record = &batch[i];
        if (!rc && record->rc)
            rc = err_set(e, record->err.code, "%s:%lld: %s", path, (long long)record->line, record->err.text);
        if (!rc)
            rc = visit(context, &record->document, e);
        document_release(&record->document);
    }
    return rc;
}

bool document_file_has_lines(const struct data_file *file)
{
    return file->format != DATA_TEXT || ends_with(file->path, ".jsonl");
}

int document_read_file(const struct data_file *file, const struct document_rules *r, document_visit *visit,
                       void *context, struct err *e)
{
    struct file_map map = {0};
    if (file_map_open(&map, file->path, e))
        return -1;
    const char *text = (const char *)map.data;
    struct reader reader = {.at = text, .end = text + map.size, .line = 1, .lines = document_file_has_lines(file)};
    struct record *batch = mem_array(BATCH_RECORDS, sizeof *batch);
    int rc = 0;
    for (int count; !rc && (count = next_batch(&reader, batch)) > 0;) {
#pragma omp parallel for schedule(dynamic, 1)
        for (int i = 0; i < count; i++)
            tokenise(&batch[i], file, reader.lines, r);
        rc = visit_batch(batch, count, file->path, visit, context, e);
    }
    mem_free(batch);
    file_map_close(&map);
    return rc;
}
