#include "spec.h"

#include <string.h>

#include "test.h"

static int parse(struct job **out, const char *text, const char *const *overrides, struct err *e)
{
    struct job_override set[16];
    int count = 0;
    for (; overrides && overrides[count]; count++)
        set[count].text = overrides[count];
    return job_parse(out, text, strlen(text), "dir/j.yaml", set, count, e);
}

struct job *spec_parse(const char *text, const char *const *overrides)
{
    struct err e = {0};
    struct job *job = NULL;
    assert_done(parse(&job, text, overrides, &e), &e);
    return job;
}

const char *spec_error(const char *text, const char *const *overrides)
{
    static struct err e;
    err_clear(&e);
    struct job *job = NULL;
    assert_int_equal(parse(&job, text, overrides, &e), -1);
    assert_null(job);
    assert_int_equal(e.code, ERR_USAGE);
    assert_null(strchr(e.text, '\n'));
    return e.text;
}

void spec_round_trip(const struct job *job)
{
    struct strbuf first, second, differing;
    strbuf_init(&first);
    strbuf_init(&second);
    strbuf_init(&differing);
    struct err e = {0};
    struct job *again = NULL;
    job_print(job, &first);
    if (job_parse(&again, first.data, first.size, "elsewhere/again.yaml", NULL, 0, &e))
        fail_msg("%s in:\n%s", e.text, first.data);
    job_print(again, &second);
    assert_string_equal(first.data, second.data);
    assert_true(job_same_run(job, again, &differing));
    assert_string_equal(differing.data, "");
    job_free(again);
    strbuf_release(&differing);
    strbuf_release(&second);
    strbuf_release(&first);
}
