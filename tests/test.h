/* What every test program includes: cmocka in the order that it wants, and the few helpers that all rooms need. */
#ifndef RETORT_TESTS_TEST_H
#define RETORT_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"

/* The call went well; its error text is shown if not. */
#define assert_done(call, e)                      \
    do {                                          \
        if ((call) != 0)                          \
            fail_msg("%s: %s", #call, (e)->text); \
    } while (0)

#endif
