#include "job/job_corpus.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

static enum data_format format_of(enum job_format f)
{
    return f == FORMAT_COMPLETION ? DATA_COMPLETION : f == FORMAT_CHAT ? DATA_CHAT : DATA_TEXT;
}

static struct data_file *files_of(const struct job_files *from)
{
    struct data_file *files = mem_array((size_t)from->count, sizeof *files);
    for (int i = 0; i < from->count; i++)
        files[i] = (struct data_file){from->items[i].path, format_of(from->items[i].format)};
    return files;
}

void job_corpus_spec(struct corpus_spec *spec, const struct job *job)
{
    *spec = (struct corpus_spec){
        .files = {files_of(&job->data.train), files_of(&job->data.validation)},
        /* evaluate reads no training data, which need not even be there */
        .file_count = {job->mode == MODE_EVALUATE ? 0 : job->data.train.count, job->data.validation.count},
        .sequence_length = job->data.sequence_length,
        .pack_seed = (uint64_t)job->data.pack_seed,
        .append_eos = job->data.append_eos,
        .template_name = job->data.template_name,
        .system_prompt = job->data.system_prompt,
    };
}

void job_corpus_release(struct corpus_spec *spec)
{
    for (int s = 0; s < SPLIT_COUNT; s++)
        mem_free((void *)spec->files[s]);
    *spec = (struct corpus_spec){0};
}

static char *cache_directory(void)
{
    const char *given = getenv("RETORT_CACHE"), *temporary = getenv("TMPDIR");
    if (given && *given)
        return mem_strdup(given);
    return mem_printf("%s/retort-%ld", temporary && *temporary ? temporary : "/tmp", (long)getuid());
}

char *job_corpus_path(uint64_t key)
{
    char *directory = cache_directory();
    char *path = mem_printf("%s/corpus-%016llx.bin", directory, (unsigned long long)key);
    mem_free(directory);
    return path;
}

int job_corpus_build(const struct corpus_spec *spec, const struct tokenizer *t, const char *path, uint64_t key,
                     struct err *e)
{
    struct corpus *there;
    struct err unreadable = {0};
    if (file_exists(path) && !corpus_open(&there, path, key, &unreadable)) {
        corpus_close(there);
        return 0;
    }
    if (unreadable.code != ERR_NONE)
        log_warning("%s; building it again", unreadable.text);
    char *parent = file_parent(path);
    int rc = file_make_directories(parent, e);
    if (!rc)
        rc = corpus_build(path, key, spec, t, e);
    mem_free(parent);
    return rc;
}
