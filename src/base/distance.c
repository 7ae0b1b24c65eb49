#include "base/distance.h"

#include <string.h>

#include "base/mem.h"

int edit_distance(const char *a, const char *b)
{
    int n = (int)strlen(b);
    int *row = mem_array((size_t)n + 1, sizeof *row);
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; *a; a++, i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int change = diagonal + (*a != b[j - 1]);
            diagonal = row[j];
            int drop = row[j] + 1, add = row[j - 1] + 1;
            row[j] = change < drop ? change : drop;
            row[j] = add < row[j] ? add : row[j];
        }
    }
    int distance = row[n];
    mem_free(row);
    return distance;
}
