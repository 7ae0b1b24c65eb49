#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "conf/job.h"
#include "fmt/gguf.h"
#include "fmt/json_fields.h"
#include "fmt/model_files.h"
#include "job/inspect_internal.h"
#include "label/store_file.h"
#include "learn/checkpoint.h"

void inspect_text(struct strbuf *out, const char *key, const char *text)
{
    strbuf_printf(out, ", \"%s\": ", key);
    if (text)
        json_put_text(out, text, strlen(text));
    else
        strbuf_adds(out, "null");
}

void inspect_begin(const struct inspection *i, const char *kind)
{
    if (i->json) {
        strbuf_printf(i->out, "{\"kind\": \"%s\"", kind);
        inspect_text(i->out, "path", i->path);
    } else {
        strbuf_printf(i->out, "%s: %s\n", kind, i->path);
    }
}

void inspect_end(const struct inspection *i)
{
    if (i->json)
        strbuf_adds(i->out, "}\n");
}

/* --- tensors --- */

static void print_tensor(const struct inspection *i, const struct tensor *t, bool first)
{
    if (i->json) {
        strbuf_adds(i->out, first ? "{\"name\": " : ", {\"name\": ");
        json_put_text(i->out, t->name, strlen(t->name));
        strbuf_printf(i->out, ", \"dtype\": \"%s\", \"shape\": [", dtype_name(t->dtype));
        for (int d = 0; d < t->rank; d++)
            strbuf_printf(i->out, "%s%lld", d ? ", " : "", (long long)t->shape[d]);
        strbuf_adds(i->out, "]}");
        return;
    }
    strbuf_printf(i->out, "  %-58s %-5s", t->name, dtype_name(t->dtype));
    for (int d = 0; d < t->rank; d++)
        strbuf_printf(i->out, "%s%lld", d ? " x " : " ", (long long)t->shape[d]);
    strbuf_addc(i->out, '\n');
}

/* at(of, i): tensor i of count. */
static void print_tensors(const struct inspection *i, const void *of, int count,
                          const struct tensor *(*at)(const void *of, int i))
{
    int64_t elements = 0;
    uint64_t bytes = 0;
    if (i->json)
        strbuf_adds(i->out, ", \"tensors\": [");
    for (int k = 0; k < count; k++) {
        const struct tensor *t = at(of, k);
        print_tensor(i, t, k == 0);
        elements += t->elements;
        bytes += t->bytes;
    }
    if (i->json)
        strbuf_printf(i->out, "], \"elements\": %lld, \"bytes\": %llu", (long long)elements, (unsigned long long)bytes);
    else
        strbuf_printf(i->out, "%d tensors, %lld elements, %.1f MB\n", count, (long long)elements, 1e-6 * (double)bytes);
}

static const struct tensor *of_model(const void *of, int i)
{
    return model_files_at(of, i);
}

static const struct tensor *of_safetensors(const void *of, int i)
{
    return safetensors_at(of, i);
}

static int print_safetensors(const struct inspection *i, const char *path, struct err *e)
{
    struct safetensors *s;
    if (safetensors_open(&s, path, e))
        return -1;
    print_tensors(i, s, safetensors_count(s), of_safetensors);
    safetensors_close(s);
    return 0;
}

/* --- kinds --- */

static void print_metadata_keys(const struct inspection *i, const struct gguf *g)
{
    for (int k = 0; k < gguf_key_count(g); k++) {
        const char *kind, *key = gguf_key_at(g, k, &kind);
        if (i->json)
            strbuf_printf(i->out, "%s\"%s\": \"%s\"", k ? ", " : "", key, kind);
        else
            strbuf_printf(i->out, "  %-44s %s\n", key, kind);
    }
}

static int inspect_model(const struct inspection *i, struct err *e)
{
    struct model_files *m;
    if (model_files_open(&m, i->path, e))
        return -1;
    struct strbuf about;
    strbuf_init(&about);
    model_config_describe(model_files_config(m), &about);
    inspect_begin(i, "model");
    if (i->json) {
        inspect_text(i->out, "format", model_files_is_gguf(m) ? "gguf" : "hf");
        inspect_text(i->out, "config", about.data);
        strbuf_adds(i->out, ", \"metadata\": {");
    } else {
        strbuf_printf(i->out, "%s\n", about.data);
    }
    if (model_files_is_gguf(m))
        print_metadata_keys(i, model_files_gguf(m));
    if (i->json)
        strbuf_adds(i->out, "}");
    print_tensors(i, m, model_files_count(m), of_model);
    inspect_end(i);
    strbuf_release(&about);
    model_files_close(m);
    return 0;
}

static int inspect_adapter(const struct inspection *i, struct err *e)
{
    struct adapter_config a = {0};
    if (adapter_config_read(&a, i->path, e))
        return -1;
    inspect_begin(i, "adapter");
    if (i->json)
        strbuf_printf(i->out, ", \"rank\": %d, \"alpha\": %.9g, \"dropout\": %.9g, \"rslora\": %s, \"targets\": [",
                      a.rank, a.alpha, a.dropout, a.rslora ? "true" : "false");
    else
        strbuf_printf(i->out, "LoRA rank %d, alpha %g, dropout %g%s, targets", a.rank, a.alpha, a.dropout,
                      a.rslora ? ", rsLoRA scaling" : "");
    for (int k = 0; k < a.target_count; k++)
        strbuf_printf(i->out, i->json ? "%s\"%s\"" : "%s%s", i->json ? (k ? ", " : "") : " ", a.targets[k]);
    strbuf_adds(i->out, i->json ? "]" : "\n");
    adapter_config_release(&a);
    char *path = file_join(i->path, "adapter_model.safetensors");
    int rc = print_safetensors(i, path, e);
    mem_free(path);
    inspect_end(i);
    return rc;
}

static int inspect_checkpoint(const struct inspection *i, struct err *e)
{
    char *path = file_join(i->path, "state.safetensors");
    inspect_begin(i, "checkpoint");
    int rc = print_safetensors(i, path, e);
    inspect_end(i);
    mem_free(path);
    return rc;
}

static const char *result_of(const char *run)
{
    char *model = file_join(run, "model"), *adapter = file_join(run, "adapter");
    const char *name = file_exists(model) ? "model" : file_exists(adapter) ? "adapter" : NULL;
    mem_free(model);
    mem_free(adapter);
    return name;
}

static int inspect_run(const struct inspection *i, const char *job_path, struct err *e)
{
    struct file_map map;
    struct job *job;
    if (file_map_open(&map, job_path, e))
        return -1;
    int rc = job_parse(&job, (const char *)map.data, map.size, job_path, NULL, 0, e);
    file_map_close(&map);
    if (rc)
        return rc;
    long long step = checkpoint_newest(i->path), steps = job->train.steps;
    const char *result = result_of(i->path);
    inspect_begin(i, "run");
    if (i->json) {
        inspect_text(i->out, "name", job->name);
        strbuf_printf(i->out, ", \"steps\": %lld, \"checkpoint\": %lld", steps, step);
        inspect_text(i->out, "result", result);
    } else {
        strbuf_printf(i->out, "job %s, %lld steps; newest checkpoint: ", job->name, steps);
        strbuf_printf(i->out, step ? "step %lld" : "none", step);
        strbuf_printf(i->out, "; %s%s\n", result ? "finished: " : "not finished", result ? result : "");
    }
    inspect_end(i);
    job_free(job);
    return 0;
}

/* --- which --- */

static bool holds(const char *directory, const char *name)
{
    char *path = file_join(directory, name);
    bool there = file_exists(path);
    mem_free(path);
    return there;
}

static int no_records(const struct inspection *i, struct err *e)
{
    return err_set(e, ERR_USAGE, "%s: --record is for label stores, their files and records", i->path);
}

static int inspect_directory(const struct inspection *i, struct err *e)
{
    if (holds(i->path, "store.json"))
        return inspect_store(i, e);
    if (i->seq_id)
        return no_records(i, e);
    if (holds(i->path, "job.yaml")) {
        char *job = file_join(i->path, "job.yaml");
        int rc = inspect_run(i, job, e);
        mem_free(job);
        return rc;
    }
    if (holds(i->path, "state.safetensors"))
        return inspect_checkpoint(i, e);
    if (holds(i->path, "adapter_config.json"))
        return inspect_adapter(i, e);
    if (holds(i->path, "config.json"))
        return inspect_model(i, e);
    return err_set(
        e, ERR_INPUT,
        "%s: neither a model (config.json), an adapter (adapter_config.json), a checkpoint (state.safetensors), a run "
        "directory (job.yaml) nor a label store (store.json)",
        i->path);
}

static int inspect_safetensors(const struct inspection *i, struct err *e)
{
    struct safetensors *s;
    if (safetensors_open(&s, i->path, e))
        return -1;
    const char *format = safetensors_metadata(s, "format");
    const bool labels = format && !strcmp(format, STORE_FILE_FORMAT);
    safetensors_close(s);
    if (labels)
        return inspect_store_file(i, e);
    if (i->seq_id)
        return no_records(i, e);
    inspect_begin(i, "safetensors");
    int rc = print_safetensors(i, i->path, e);
    inspect_end(i);
    return rc;
}

static int inspect_bytes(const struct inspection *i, struct err *e)
{
    struct file_map map;
    if (file_map_open(&map, i->path, e))
        return -1;
    int rc;
    if (map.size >= 4 && !memcmp(map.data, "GGUF", 4)) {
        rc = i->seq_id ? no_records(i, e) : inspect_model(i, e);
    } else {
        rc = inspect_record(i, map.data, map.size, e);
        err_prefix(e, "%s", i->path);
    }
    file_map_close(&map);
    return rc;
}

static int inspect_file(const struct inspection *i, struct err *e)
{
    if (file_ends_in(i->path, ".safetensors"))
        return inspect_safetensors(i, e);
    if (file_ends_in(i->path, ".open"))
        return inspect_store_file(i, e);
    if (!strcmp(file_name(i->path), "store.json"))
        return i->seq_id ? no_records(i, e) : inspect_store_json(i, e);
    return inspect_bytes(i, e);
}

int inspect_path(const char *path, bool json, const uint64_t *seq_id, struct strbuf *out, struct err *e)
{
    const struct inspection i = {path, json, seq_id, out};
    return file_is_directory(path) ? inspect_directory(&i, e) : inspect_file(&i, e);
}
