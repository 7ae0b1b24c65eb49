#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void assert_failed(const char *condition, const char *file, int line, const char *function)
{
    fprintf(stderr, "retort: bug: %s:%d: %s: %s does not hold\n", file, line, function, condition);
    abort();
}
