/* retort store: looks after a label store. */
#include <string.h>

#include "base/mem.h"
#include "cli/console.h"
#include "cli/program.h"
#include "job/label_store.h"
#include "job/store_list.h"

enum action { VERIFY, LIST, COMPACT, EXPORT };
static const char *const actions[] = {"verify", "list", "compact", "export", NULL};
enum { ACTIONS = sizeof actions / sizeof *actions - 1 };

struct store_options {
    enum action action;
    const char *path, *out;
    bool deep, json;
    int64_t most, idle; /* MiB, seconds; negative: not given */
};

static int find_action(const char *name, enum action *action, struct err *e)
{
    for (int i = 0; i < ACTIONS; i++)
        if (!strcmp(name, actions[i])) {
            *action = (enum action)i;
            return 0;
        }
    const char *near = nearest_name(name, actions, ACTIONS);
    return err_set(e, ERR_USAGE, "store %s: expected verify, list, compact or export%s%s%s", name,
                   near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* An option that an action does not have is a slip, and may hide another meaning. */
static int check_options(const struct store_options *o, struct err *e)
{
    const struct {
        const char *name;
        bool given;
        enum action action;
    } options[] = {{"--deep", o->deep, VERIFY},
                   {"--json", o->json, LIST},
                   {"--most", o->most >= 0, COMPACT},
                   {"--idle", o->idle >= 0, COMPACT},
                   {"--out", o->out != NULL, EXPORT}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (options[i].given && options[i].action != o->action)
            return err_set(e, ERR_USAGE, "store %s: %s belongs to store %s", actions[o->action], options[i].name,
                           actions[options[i].action]);
    if (o->action == EXPORT && !o->out)
        return err_set(e, ERR_USAGE, "store export needs --out FILE, the .safetensors file to write");
    return 0;
}

static int verify(const struct store *s, const struct store_options *o, struct strbuf *out, struct err *e)
{
    if (store_verify(s, o->deep, e))
        return -1;
    uint64_t bytes = 0;
    for (int i = 0; i < store_parts(s); i++) {
        const struct store_part p = store_part(s, i);
        bytes += p.bytes;
        if (p.rest)
            strbuf_printf(out, "%s: %llu bytes that are no whole record: one that was being written, or damage\n",
                          p.name, (unsigned long long)p.rest);
    }
    strbuf_printf(out, "%s: %lld records in %d files, %.1f MB: all whole%s\n", o->path, (long long)store_count(s),
                  store_parts(s), 1e-6 * (double)bytes, o->deep ? ", and every label can be decoded" : "");
    return 0;
}

static int export(const struct store *s, const struct store_options *o, struct strbuf *out, struct err *e)
{
    if (store_export(s, o->out, e))
        return -1;
    strbuf_printf(out, "%s: %lld records\n", o->out, (long long)store_count(s));
    return 0;
}

static int compact(const struct store_options *o, struct strbuf *out, struct err *e)
{
    enum { IDLE_SECONDS = 3600 };
    const uint64_t most = o->most >= 0 ? (uint64_t)o->most << 20 : STORE_FILE_MOST;
    const double idle = o->idle >= 0 ? (double)o->idle : IDLE_SECONDS;
    char *owner = label_store_owner("retort store", "compact");
    const int rc = store_compact(o->path, most, idle, owner, out, e);
    mem_free(owner);
    return rc;
}

static int run(const struct store_options *o, struct strbuf *out, struct err *e)
{
    struct store *s;
    if (o->action == COMPACT)
        return compact(o, out, e);
    if (store_open(&s, o->path, e))
        return -1;
    const int rc = o->action == VERIFY ? verify(s, o, out, e)
                   : o->action == LIST ? store_list(s, o->path, o->json, out, e)
                                       : export(s, o, out, e);
    store_close(s);
    return rc;
}

int cmd_store(int argc, char **argv, struct err *e)
{
    struct store_options o = {.most = -1, .idle = -1};
    const char *words[2] = {NULL};
    int rc;
    const struct option options[] = {
        {"--deep", OPTION_FLAG, &o.deep, NULL, "verify: decode every label, too", NULL, false},
        {"--json", OPTION_FLAG, &o.json, NULL, "list: one JSON document", NULL, false},
        {"--most", OPTION_INTEGER, &o.most, "MIB", "compact: of a merged file (1024)", NULL, false},
        {"--idle", OPTION_INTEGER, &o.idle, "SECONDS",
         "compact: files that changed later are left alone, as a job may be writing them (3600)", NULL, false},
        {"--out", OPTION_TEXT, &o.out, "FILE", "export: the .safetensors file to write", NULL, false},
        {0},
    };
    static const char *const names[] = {"verify|list|compact|export", "STORE"};
    const struct command_line line = {
        .command = "store",
        .usage = "verify|list|compact|export STORE [options]",
        .about = "Looks after a directory of labels: reads every byte and says what is damaged; says what is there and "
                 "what is missing; merges small files and those that jobs have left open; writes all labels as plain "
                 "arrays.",
        .options = options,
        .positional = words,
        .positional_names = names,
        .positional_least = 2,
        .positional_most = 2,
    };
    if (!program_options(&line, argc, argv, &rc, e))
        return rc;
    if (find_action(words[0], &o.action, e))
        return -1;
    o.path = words[1];
    if (check_options(&o, e))
        return -1;
    struct strbuf out;
    strbuf_init(&out);
    rc = run(&o, &out, e);
    if (!rc)
        console_print(out.data, out.size);
    strbuf_release(&out);
    return rc;
}
