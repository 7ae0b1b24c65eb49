/* What src/fmt reads and writes, for comparison with other libraries (tools/reference/fmt_check.py):
 *
 *     fmt_dump list MODEL            the config as config.json says it, and every tensor, as one JSON document
 *     fmt_dump copy MODEL OUT        a Hugging Face directory, written anew from what was read of another
 *     fmt_dump adapter IN OUT        the same for the adapter_config.json of two directories */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "fmt/json_fields.h"
#include "fmt/model_files.h"

static void put_tensor(struct strbuf *out, const struct tensor *t)
{
    unsigned long long sum = 0;
    for (uint64_t i = 0; i < t->bytes; i++)
        sum += t->data[i];
    json_put_text(out, t->name, strlen(t->name));
    strbuf_printf(out, ": {\"dtype\": \"%s\", \"sum\": %llu, \"shape\": [", dtype_name(t->dtype), sum);
    for (int i = 0; i < t->rank; i++)
        strbuf_printf(out, "%s%lld", i ? ", " : "", (long long)t->shape[i]);
    strbuf_adds(out, "]}");
}

static int list(const char *path, struct err *e)
{
    struct model_files *m = NULL;
    if (model_files_open(&m, path, e))
        return -1;
    struct strbuf out;
    strbuf_init(&out);
    strbuf_adds(&out, "{\"config\": ");
    model_config_to_json(model_files_config(m), "float32", &out);
    strbuf_adds(&out, ", \"tensors\": {");
    for (int i = 0; i < model_files_count(m); i++) {
        strbuf_adds(&out, i ? ",\n" : "\n");
        put_tensor(&out, model_files_at(m, i));
    }
    strbuf_adds(&out, "}}");
    puts(out.data);
    strbuf_release(&out);
    model_files_close(m);
    return 0;
}

static int write_file(const char *directory, const char *name, const struct strbuf *text, struct err *e)
{
    char *path = file_join(directory, name);
    int rc = file_make_directories(directory, e) ? -1 : file_write(path, text->data, text->size, e);
    mem_free(path);
    return rc;
}

static int copy(const char *from, const char *to, struct err *e)
{
    struct model_files *m = NULL;
    if (model_files_open(&m, from, e))
        return -1;
    struct strbuf config, weights;
    strbuf_init(&config);
    strbuf_init(&weights);
    model_config_to_json(model_files_config(m),
                         dtype_name(model_files_at(m, 0)->dtype)[0] == 'B' ? "bfloat16" : "float32", &config);
    struct safetensors_plan *plan = safetensors_plan_new();
    safetensors_plan_metadata(plan, "format", "pt");
    for (int i = 0; i < model_files_count(m); i++) {
        const struct tensor *t = model_files_at(m, i);
        safetensors_plan_add(plan, t->name, t->dtype, t->rank, t->shape);
    }
    safetensors_plan_finish(plan, &weights);
    for (int i = 0; i < model_files_count(m); i++)
        strbuf_add(&weights, model_files_at(m, i)->data, model_files_at(m, i)->bytes);
    int rc = write_file(to, "config.json", &config, e) || write_file(to, "model.safetensors", &weights, e) ? -1 : 0;
    safetensors_plan_free(plan);
    strbuf_release(&weights);
    strbuf_release(&config);
    model_files_close(m);
    return rc;
}

static int adapter(const char *from, const char *to, struct err *e)
{
    struct adapter_config c;
    if (adapter_config_read(&c, from, e))
        return -1;
    struct strbuf text;
    strbuf_init(&text);
    adapter_config_to_json(&c, "a/base \"model\"", &text);
    int rc = write_file(to, "adapter_config.json", &text, e);
    strbuf_release(&text);
    adapter_config_release(&c);
    return rc;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    int rc = 2;
    if (argc == 3 && !strcmp(argv[1], "list"))
        rc = list(argv[2], &e);
    else if (argc == 4 && !strcmp(argv[1], "copy"))
        rc = copy(argv[2], argv[3], &e);
    else if (argc == 4 && !strcmp(argv[1], "adapter"))
        rc = adapter(argv[2], argv[3], &e);
    if (rc < 0)
        fprintf(stderr, "fmt_dump: %s\n", e.text);
    return rc < 0 ? (int)e.code : rc;
}
