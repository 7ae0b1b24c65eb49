#include "conf/types.h"

#include <string.h>

/* "KEY: expected WHAT, got VALUE". hint: what more there is to say, or "". */
int type_refuse_hint(const struct field *f, const struct node *n, const struct reading *r, const char *hint)
{
    struct strbuf expected;
    strbuf_init(&expected);
    f->type->expected(f, &expected);
    char shown[NODE_SHOWN];
    spot_refuse(&n->spot, n->key, r->e, "expected %s, got %s%s", expected.data, node_show(n, shown), hint);
    strbuf_release(&expected);
    return -1;
}

int type_refuse(const struct field *f, const struct node *n, const struct reading *r)
{
    return type_refuse_hint(f, n, r, "");
}

bool type_is_none(const struct field *f, const struct node *n)
{
    return f->none && (node_is(n, f->none) || (!strcmp(f->none, "null") && node_is_null(n)));
}

void type_expect_none(const struct field *f, struct strbuf *out)
{
    if (f->none)
        strbuf_printf(out, " or %s", f->none);
}
