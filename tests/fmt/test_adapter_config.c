/* adapter_config.json: what peft writes is read, what plain LoRA does not have is refused by its key, what we write
 * reads back. */
#include "test.h"

#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "files.h"
#include "fmt/adapter_config.h"

static int read_patched(struct adapter_config *c, const char *patch, struct err *e)
{
    size_t size;
    char *peft = test_file_read("pass_adapter_config.json", &size);
    json_t *base = json_loads(peft, 0, NULL), *over = json_loads(patch, 0, NULL);
    assert_non_null(over);
    json_object_update(base, over);
    char *text = json_dumps(base, 0);
    int rc = adapter_config_parse(c, text, strlen(text), "a/adapter_config.json", e);
    mem_free(text);
    mem_free(peft);
    json_decref(base);
    json_decref(over);
    return rc;
}

static void reads_what_peft_writes(void **state)
{
    (void)state;
    struct adapter_config c;
    struct err e = {0};
    assert_done(read_patched(&c, "{}", &e), &e);
    assert_true(c.rank == 16 && c.alpha == 32 && c.dropout == 0.05 && c.rslora && c.target_count == 2);
    assert_string_equal(c.targets[0], "q_proj");
    assert_string_equal(c.targets[1], "v_proj");
    adapter_config_release(&c);
    assert_int_equal(c.target_count, 0);

    assert_done(
        read_patched(&c, "{\"target_modules\": \"all-linear\", \"lora_alpha\": 0.5, \"use_rslora\": false}", &e), &e);
    assert_true(c.target_count == 7 && c.alpha == 0.5 && !c.rslora);
    assert_string_equal(c.targets[6], "down_proj");
    adapter_config_release(&c);

    assert_done(
        read_patched(&c, "{\"a_setting_of_the_future\": null, \"another\": {}, \"init_lora_weights\": \"gaussian\"}",
                     &e),
        &e);
    adapter_config_release(&c);
}

static void other_adapters_are_refused_by_key(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"peft_type\": \"IA3\"}", "peft_type is \"IA3\""},
        {"{\"peft_type\": null}", "peft_type is null"},
        {"{\"bias\": \"all\"}", "bias is \"all\""},
        {"{\"use_dora\": true}", "use_dora is true; retort reads plain LoRA"},
        {"{\"modules_to_save\": [\"lm_head\"]}", "modules_to_save is [\"lm_head\"]"},
        {"{\"rank_pattern\": {\"q_proj\": 4}}", "rank_pattern"},
        {"{\"alpha_pattern\": {\"q_proj\": 4}}", "alpha_pattern"},
        {"{\"layers_to_transform\": [0]}", "layers_to_transform is [0]"},
        {"{\"fan_in_fan_out\": true}", "fan_in_fan_out is true"},
        {"{\"trainable_token_indices\": [3]}", "trainable_token_indices"},
        {"{\"exclude_modules\": [\"o_proj\"]}", "exclude_modules"},
        {"{\"a_setting_of_the_future\": 0.5}", "a_setting_of_the_future is 0.5"},
        {"{\"init_lora_weights\": \"pissa_niter_4\"}", "init_lora_weights is \"pissa_niter_4\"; this init changes"},
        {"{\"init_lora_weights\": 3}", "init_lora_weights is 3"},
        {"{\"target_modules\": \".*_proj\"}", "target_modules is \".*_proj\"; patterns are not read"},
        {"{\"target_modules\": []}", "target_modules is []; expected a list"},
        {"{\"target_modules\": [\"q_proj\", 3]}", "target_modules"},
        {"{\"target_modules\": null}", "target_modules is null"},
        {"{\"r\": 0}", "r is 0; expected an integer from 1"},
        {"{\"r\": 8.0}", "r is 8.0"},
        {"{\"lora_alpha\": -1}", "lora_alpha is -1"},
        {"{\"lora_alpha\": null}", "lora_alpha is null"},
        {"{\"lora_dropout\": 1.5}", "lora_dropout is 1.5"},
        {"{\"use_rslora\": \"yes\"}", "use_rslora is \"yes\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = {0};
        struct adapter_config c = {.rank = 77};
        int rc = read_patched(&c, cases[i][0], &e);
        if (rc != -1 || !strstr(e.text, cases[i][1]) || !strstr(e.text, "a/adapter_config.json: "))
            fail_msg("%s: rc %d, \"%s\", expected \"%s\"", cases[i][0], rc, e.text, cases[i][1]);
        assert_int_equal(e.code, ERR_INPUT);
        assert_int_equal(c.rank, 77);
    }
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    char *targets[] = {(char *)(uintptr_t) "q_proj", (char *)(uintptr_t) "down_proj"};
    struct adapter_config c = {
        .rank = 4, .alpha = 7.5, .dropout = 0.1, .rslora = true, .targets = targets, .target_count = 2};
    struct adapter_config again;
    struct err e = {0};
    struct strbuf text;
    strbuf_init(&text);
    adapter_config_to_json(&c, "models/\"odd\"\n\xff", &text);
    assert_done(adapter_config_parse(&again, text.data, text.size, "again", &e), &e);
    assert_true(again.rank == 4 && again.alpha == 7.5 && again.dropout == 0.1 && again.rslora &&
                again.target_count == 2);
    assert_string_equal(again.targets[1], "down_proj");
    adapter_config_release(&again);
    strbuf_release(&text);
}

static void a_directory_without_one_is_refused(void **state)
{
    (void)state;
    struct adapter_config c;
    struct err e = {0};
    assert_int_equal(adapter_config_read(&c, TEST_FILES, &e), -1);
    assert_non_null(strstr(e.text, "adapter_config.json: "));
    assert_int_equal(e.code, ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_peft_writes),
        cmocka_unit_test(other_adapters_are_refused_by_key),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(a_directory_without_one_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
