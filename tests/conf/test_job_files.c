/* pass_*.yaml parse and come back from their own print; fail_*.yaml give exactly the error of their first line,
 * "# expect: ..." (without the file's name). "# set: key=value" lines are overrides. The jobs of the project parse, and
 * this build can run them. */
#include "test.h"

#include <dirent.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "spec.h"

enum { LEAST_FILES = 100 }; /* an empty folder must not be green */

static const char *spec_directory, *jobs_directory;
static int wrong; /* other texts than expected: all are shown before the test fails */

/* The rest of a line that starts with the mark, or NULL; *at moves to the next line. */
static char *marked_line(const char **at, const char *mark)
{
    size_t n = strlen(mark), length = strcspn(*at, "\n");
    if (strncmp(*at, mark, n))
        return NULL;
    char *rest = mem_printf("%.*s", (int)(length - n), *at + n);
    *at += length + ((*at)[length] == '\n');
    return rest;
}

struct spec_file {
    char *text, *expect;
    struct job_override set[8];
    int count;
};

static struct spec_file spec_open(const char *path)
{
    struct spec_file s = {0};
    struct file_map m = {0};
    struct err e = {0};
    assert_done(file_map_open(&m, path, &e), &e);
    s.text = mem_printf("%.*s", (int)m.size, (const char *)m.data);
    assert_int_equal(strlen(s.text), m.size);
    file_map_close(&m);
    const char *at = s.text;
    s.expect = marked_line(&at, "# expect: ");
    while ((s.set[s.count].text = marked_line(&at, "# set: ")))
        s.count++;
    return s;
}

static void spec_close(struct spec_file *s)
{
    for (int i = 0; i < s->count; i++)
        mem_free((char *)s->set[i].text);
    mem_free(s->expect);
    mem_free(s->text);
}

static void check_pass(const char *path, const struct spec_file *s)
{
    struct err e = {0};
    struct job *job = NULL;
    if (job_parse(&job, s->text, strlen(s->text), path, s->set, s->count, &e))
        fail_msg("%s: %s", path, e.text);
    spec_round_trip(job);
    job_free(job);
}

static void check_fail(const char *path, const struct spec_file *s)
{
    struct err e = {0};
    struct job *job = NULL;
    if (!s->expect)
        fail_msg("%s: its first line expects nothing", path);
    if (!job_parse(&job, s->text, strlen(s->text), path, s->set, s->count, &e))
        fail_msg("%s: no error, expected: %s", path, s->expect);
    size_t n = strlen(path);
    const char *text = strncmp(e.text, path, n) || e.text[n] != ':' ? e.text : e.text + n + 1;
    assert_int_equal(e.code, ERR_USAGE);
    if (strcmp(text, s->expect)) {
        print_error("%s\n  says     %s\n  expected %s\n", path, text, s->expect);
        wrong++;
    }
}

/* 1 if the name has the prefix. */
static int check_file(const char *directory, const char *name, const char *prefix,
                      void (*check)(const char *, const struct spec_file *))
{
    if (strncmp(name, prefix, strlen(prefix)) || !strstr(name, ".yaml"))
        return 0;
    char *path = file_join(directory, name);
    struct spec_file s = spec_open(path);
    check(path, &s);
    spec_close(&s);
    mem_free(path);
    return 1;
}

static int check_directory(const char *directory, const char *prefix,
                           void (*check)(const char *, const struct spec_file *))
{
    int count = 0;
    DIR *d = opendir(directory);
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d));)
        count += check_file(directory, entry->d_name, prefix, check);
    closedir(d);
    return count;
}

static void pass_and_fail_files(void **state)
{
    (void)state;
    int passed = check_directory(spec_directory, "pass_", check_pass);
    assert_true(passed + check_directory(spec_directory, "fail_", check_fail) >= LEAST_FILES);
    assert_int_equal(wrong, 0);
}

static void check_job(const char *path, const struct spec_file *s)
{
    check_pass(path, s);
    struct err e = {0};
    struct job *job = NULL;
    struct strbuf text;
    strbuf_init(&text);
    assert_done(job_parse(&job, s->text, strlen(s->text), path, NULL, 0, &e), &e);
    if (job_unbuilt(job, &text) + job_warnings(job, &text))
        fail_msg("%s: %s", path, text.data);
    strbuf_release(&text);
    job_free(job);
}

static void jobs_of_the_project(void **state)
{
    (void)state;
    assert_true(check_directory(jobs_directory, "", check_job) >= 3);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    spec_directory = argv[1];
    jobs_directory = argv[2];
    const struct CMUnitTest tests[] = {cmocka_unit_test(pass_and_fail_files), cmocka_unit_test(jobs_of_the_project)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
