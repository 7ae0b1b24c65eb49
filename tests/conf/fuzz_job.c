/* The job spec: bytes up to a first 0x01 byte are the file, each further piece is one --set. Whatever the bytes are: an
 * error is one line of ERR_USAGE, and a job that parses comes back from its own print. */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "conf/job.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { MOST_OVERRIDES = 8 };

static void check_round_trip(const struct job *job)
{
    struct strbuf first, second;
    strbuf_init(&first);
    strbuf_init(&second);
    struct err e = {0};
    struct job *again = NULL;
    job_print(job, &first);
    int rc = job_parse(&again, first.data, first.size, "again.yaml", NULL, 0, &e);
    ASSERT(rc == 0);
    job_print(again, &second);
    ASSERT(!strcmp(first.data, second.data));
    job_free(again);
    strbuf_release(&second);
    strbuf_release(&first);
}

static void ask_everything(const struct job *job)
{
    struct strbuf out;
    strbuf_init(&out);
    struct job_path paths[4];
    job_unbuilt(job, &out);
    job_warnings(job, &out);
    int count = job_input_paths(job, paths, 4);
    for (int i = 0; i < count && i < 4; i++)
        strbuf_adds(&out, job_where(job, paths[i].key));
    ASSERT(job_same_run(job, job, &out));
    strbuf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = mem_alloc(size + 1);
    memcpy(text, bytes, size);
    const char *end = memchr(text, 1, size);
    size_t file_size = end ? (size_t)(end - text) : size;
    struct job_override set[MOST_OVERRIDES];
    int count = 0;
    for (char *at = text + file_size; at < text + size && count < MOST_OVERRIDES; at += strcspn(at, "\1")) {
        *at++ = 0;
        set[count++].text = at;
    }
    struct err e = {0};
    struct job *job = NULL;
    if (job_parse(&job, text, file_size, "j.yaml", set, count, &e)) {
        ASSERT(e.code == ERR_USAGE && *e.text && !strchr(e.text, '\n'));
    } else {
        check_round_trip(job);
        ask_everything(job);
    }
    job_free(job);
    mem_free(text);
    return 0;
}
