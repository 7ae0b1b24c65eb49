/* Makes a label store of made-up records, or adds to one: store_maker DIRECTORY FORMAT FIRST END sealed|open. FORMAT is
 * one of those of made.h. Each call is a writer of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stores.h"

enum { MOST = 200000 };

int main(int argc, char **argv)
{
    struct err e = {0};
    if (argc != 6) {
        fprintf(stderr, "usage: store_maker DIRECTORY FORMAT FIRST END sealed|open\n");
        return 2;
    }
    const int format = atoi(argv[2]);
    const struct store_description d = stores_description(format);
    if (!store_create(argv[1], &d, &e) &&
        stores_fill(argv[1], format, atoi(argv[3]), atoi(argv[4]), MOST, !strcmp(argv[5], "sealed"), &e) >= 0)
        return 0;
    fprintf(stderr, "%s\n", e.text);
    return (int)e.code;
}
