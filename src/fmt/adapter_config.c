/* adapter_config.json of PEFT: plain LoRA, read and written. PEFT adds settings with every release; what is neither
 * read here nor known to leave the result alone must be empty, or the adapter is refused by that setting's name. */
#include "fmt/model_files.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "fmt/adapter_config.h"
#include "fmt/json_fields.h"

enum { RANK_MAX = 1 << 16, TARGETS_MAX = 1024 };

static const char *const all_linear[] = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
enum { ALL_LINEAR = sizeof all_linear / sizeof all_linear[0] };

/* Read below, or without influence on what a finished adapter computes. */
static const char *const known_keys[] = {
    "peft_type",
    "peft_version",
    "task_type",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "auto_mapping",
    "r",
    "lora_alpha",
    "lora_dropout",
    "use_rslora",
    "target_modules",
    "bias",
    "init_lora_weights",
    /* settings of inits and schemes that other keys switch on */
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    "qalora_group_size",
    "megatron_core",
    "runtime_config",
    "ensure_weight_tying",
};

static bool is_known(const char *key)
{
    for (size_t i = 0; i < sizeof known_keys / sizeof known_keys[0]; i++)
        if (!strcmp(known_keys[i], key))
            return true;
    return false;
}

static bool is_empty(const json_t *value)
{
    return json_is_null(value) || json_is_false(value) || (json_is_string(value) && !json_string_length(value)) ||
           (json_is_array(value) && !json_array_size(value)) || (json_is_object(value) && !json_object_size(value));
}

static int refuse_settings(const struct fields *f)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)f->object, key, value)
    {
        if (!is_known(key) && !is_empty(value))
            return fields_refuse(f, key, "retort reads plain LoRA adapters without this setting");
    }
    if (strcmp(fields_need_text(f, "peft_type"), "LORA"))
        return fields_refuse(f, "peft_type", "retort reads \"LORA\"");
    if (strcmp(fields_text(f, "bias", "none"), "none"))
        return fields_refuse(f, "bias", "retort reads adapters with \"none\"");
    return f->e->code ? -1 : 0;
}

/* true, false and these leave the base weights as they are; PiSSA, OLoRA, CorDA and LoftQ change them. */
static int refuse_init(const struct fields *f)
{
    static const char *const harmless[] = {"gaussian", "orthogonal", "eva"};
    const json_t *init = fields_get(f, "init_lora_weights");
    if (!init || json_is_boolean(init))
        return 0;
    for (size_t i = 0; json_is_string(init) && i < sizeof harmless / sizeof harmless[0]; i++)
        if (!strcmp(json_string_value(init), harmless[i]))
            return 0;
    return fields_refuse(f, "init_lora_weights",
                         "this init changes the base weights; convert the adapter to plain LoRA first");
}

static void add_target(struct adapter_config *c, const char *name)
{
    c->targets[c->target_count++] = mem_strdup(name);
}

static int read_targets(struct adapter_config *c, const struct fields *f)
{
    const json_t *list = fields_get(f, "target_modules");
    size_t n = json_array_size(list);
    if (json_is_string(list) && !strcmp(json_string_value(list), "all-linear")) {
        c->targets = mem_array(ALL_LINEAR, sizeof *c->targets);
        for (int i = 0; i < ALL_LINEAR; i++)
            add_target(c, all_linear[i]);
        return 0;
    }
    if (json_is_string(list))
        return fields_refuse(f, "target_modules",
                             "patterns are not read, only a list of module names or \"all-linear\"");
    if (n < 1 || n > TARGETS_MAX)
        return fields_refuse(f, "target_modules", "expected a list of module names or \"all-linear\"");
    c->targets = mem_array(n, sizeof *c->targets);
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (!name || !*name)
            return fields_refuse(f, "target_modules", "expected a list of module names or \"all-linear\"");
        add_target(c, name);
    }
    return 0;
}

static int read_fields(struct adapter_config *c, const struct fields *f)
{
    if (refuse_settings(f) || refuse_init(f))
        return -1;
    c->rank = (int)fields_need_int(f, "r", 1, RANK_MAX);
    c->alpha = fields_need_number(f, "lora_alpha", 0, 1e9);
    c->dropout = fields_number(f, "lora_dropout", 0, 1, 0);
    c->rslora = fields_bool(f, "use_rslora", false);
    return f->e->code ? -1 : read_targets(c, f);
}

int adapter_config_parse(struct adapter_config *c, const char *text, size_t size, const char *path, struct err *e)
{
    json_t *root = json_parse_object(text, size, path, e);
    if (!root)
        return -1;
    struct fields f = {root, path, "", e};
    struct adapter_config read = {0};
    int rc = read_fields(&read, &f);
    if (rc)
        adapter_config_release(&read);
    else
        *c = read;
    json_decref(root);
    return rc;
}

int adapter_config_read(struct adapter_config *c, const char *directory, struct err *e)
{
    char *path = file_join(directory, "adapter_config.json");
    struct file_map map = {0};
    int rc = file_map_open(&map, path, e);
    if (!rc)
        rc = adapter_config_parse(c, (const char *)map.data, map.size, path, e);
    file_map_close(&map);
    mem_free(path);
    return rc;
}

void adapter_config_release(struct adapter_config *c)
{
    for (int i = 0; i < c->target_count; i++)
        mem_free(c->targets[i]);
    mem_free(c->targets);
    *c = (struct adapter_config){0};
}

void adapter_config_to_json(const struct adapter_config *c, const char *base, struct strbuf *out)
{
    strbuf_adds(out, "{\n  \"peft_type\": \"LORA\",\n  \"task_type\": \"CAUSAL_LM\",\n  \"base_model_name_or_path\": ");
    if (base)
        json_put_text(out, base, strlen(base));
    else
        strbuf_adds(out, "null");
    strbuf_printf(out, ",\n  \"r\": %d,\n  \"lora_alpha\": ", c->rank);
    json_put_number(out, c->alpha);
    strbuf_adds(out, ",\n  \"lora_dropout\": ");
    json_put_number(out, c->dropout);
    strbuf_printf(out, ",\n  \"use_rslora\": %s,\n  \"target_modules\": [", c->rslora ? "true" : "false");
    for (int i = 0; i < c->target_count; i++) {
        if (i)
            strbuf_adds(out, ", ");
        json_put_text(out, c->targets[i], strlen(c->targets[i]));
    }
    strbuf_adds(out, "],\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": false,\n  \"init_lora_weights\": true,\n"
                     "  \"inference_mode\": true\n}\n");
}
