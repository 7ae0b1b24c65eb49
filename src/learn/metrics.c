#include "learn/metrics.h"

#include <fcntl.h>
#include <jansson.h>
#include <unistd.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/strbuf.h"

struct metrics {
    char *path;
    int fd;
    uint64_t size;
    struct strbuf line;
};

static int64_t step_of_line(const char *line, size_t size)
{
    json_t *object = json_loadb(line, size, 0, NULL);
    json_t *step = json_object_get(object, "step");
    int64_t value = json_is_integer(step) ? json_integer_value(step) : INT64_MAX; /* a torn line is dropped */
    json_decref(object);
    return value;
}

/* The bytes of the lines up to step `keep`. */
static int old_lines(const char *path, int64_t keep, struct strbuf *kept, struct err *e)
{
    struct file_map map = {0};
    if (keep < 0 || !file_exists(path))
        return 0;
    if (file_map_open(&map, path, e))
        return -1;
    const char *at = (const char *)map.data, *end = at + map.size;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline)
            break;
        if (step_of_line(at, (size_t)(newline - at)) <= keep)
            strbuf_add(kept, at, (size_t)(newline + 1 - at));
        at = newline + 1;
    }
    file_map_close(&map);
    return 0;
}

int metrics_open(struct metrics **out, const char *run_directory, int64_t keep, struct err *e)
{
    char *path = file_join(run_directory, "metrics.jsonl");
    struct strbuf kept;
    strbuf_init(&kept);
    struct metrics *m = mem_alloc(sizeof *m);
    *m = (struct metrics){.path = path, .fd = -1};
    strbuf_init(&m->line);
    int rc = old_lines(path, keep, &kept, e);
    if (!rc)
        rc = file_write(path, kept.data, kept.size, e);
    if (!rc) {
        m->size = kept.size;
        m->fd = open(path, O_WRONLY | O_CLOEXEC);
        if (m->fd < 0)
            rc = err_errno(e, "%s: cannot open", path);
    }
    strbuf_release(&kept);
    if (rc)
        metrics_close(m);
    else
        *out = m;
    return rc;
}

void metrics_close(struct metrics *m)
{
    if (!m)
        return;
    if (m->fd >= 0)
        close(m->fd);
    strbuf_release(&m->line);
    mem_free(m->path);
    mem_free(m);
}

static struct strbuf *begin_line(struct metrics *m, int64_t step)
{
    strbuf_clear(&m->line);
    strbuf_printf(&m->line, "{\"step\": %lld", (long long)step);
    return &m->line;
}

static int write_line(struct metrics *m, struct err *e)
{
    int rc = file_write_at(m->fd, m->path, m->line.data, m->line.size, m->size, e);
    if (!rc)
        m->size += m->line.size;
    return rc;
}

/* 17 digits name a double exactly; JSON has no word for what is not finite. */
static void add_number(struct strbuf *s, const char *name, double x)
{
    if (x - x == 0)
        strbuf_printf(s, ", \"%s\": %.17g", name, x);
    else
        strbuf_printf(s, ", \"%s\": null", name);
}

int metrics_step(struct metrics *m, const struct step_metrics *s, struct err *e)
{
    struct strbuf *line = begin_line(m, s->step);
    add_number(line, "loss", s->loss);
    add_number(line, "kl", s->kl);
    add_number(line, "ce", s->ce);
    add_number(line, "learning_rate", s->learning_rate);
    add_number(line, "grad_norm", s->grad_norm);
    strbuf_printf(line, ", \"tokens\": %lld, \"supervised_tokens\": %lld", (long long)s->tokens,
                  (long long)s->supervised_tokens);
    add_number(line, "seconds", s->seconds);
    add_number(line, "tokens_per_second", s->seconds > 0 ? (double)s->tokens / s->seconds : 0);
    add_number(line, "label_wait_seconds", s->label_wait_seconds);
    add_number(line, "teacher_wait_seconds", s->teacher_wait_seconds);
    add_number(line, "reduce_wait_seconds", s->reduce_wait_seconds);
    strbuf_adds(line, "}\n");
    return write_line(m, e);
}

int metrics_validation(struct metrics *m, int64_t step, const struct validation_metrics *v, struct err *e)
{
    struct strbuf *line = begin_line(m, step);
    strbuf_printf(line, ", \"validation\": {\"supervised_tokens\": %lld", (long long)v->supervised_tokens);
    add_number(line, "loss", v->loss);
    add_number(line, "kl", v->kl);
    add_number(line, "ce", v->ce);
    add_number(line, "perplexity", v->perplexity);
    add_number(line, "accuracy", v->accuracy);
    add_number(line, "seconds", v->seconds);
    strbuf_adds(line, "}}\n");
    return write_line(m, e);
}
