/* What the tests of the job spec share. */
#ifndef RETORT_TESTS_CONF_SPEC_H
#define RETORT_TESTS_CONF_SPEC_H

#include "base/strbuf.h"
#include "conf/job.h"

/* Parses text as file "dir/j.yaml" with the overrides up to a NULL; fails the test if that fails. job_free it. */
struct job *spec_parse(const char *text, const char *const *overrides);

/* The error of the same; fails the test if there is none. Valid until the next call. */
const char *spec_error(const char *text, const char *const *overrides);

/* Prints, parses what was printed, and fails the test unless that gives the same print and the same run. */
void spec_round_trip(const struct job *job);

#endif
