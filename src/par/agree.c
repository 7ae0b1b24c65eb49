#include "par/agree.h"

#include <limits.h>
#include <string.h>

static bool same_on_all(const struct comm *c, const struct err *mine, const struct err *first)
{
    const bool same = mine->code == first->code && strcmp(mine->text, first->text) == 0;
    return comm_min(c, same) == 1;
}

int agree(const struct comm *c, struct err *e)
{
    const long first = comm_min(c, e->code == ERR_NONE ? INT_MAX : c->rank);
    if (first == INT_MAX)
        return 0;

    struct err theirs = *e;
    comm_broadcast(c, &theirs, sizeof theirs, (int)first);
    const bool everywhere = same_on_all(c, e, &theirs);
    *e = theirs;
    /* what is wrong everywhere (a misspelt key, a missing file) is no one rank's fault */
    if (!everywhere)
        err_prefix(e, "rank %ld", first);
    return -1;
}
