/* What the types of values (field.h) share: how they refuse, and the word for "no value". */
#ifndef RETORT_CONF_TYPES_H
#define RETORT_CONF_TYPES_H

#include "conf/field.h"

/* "KEY: expected WHAT, got VALUE", and a hint after it. Return -1. */
int type_refuse(const struct field *f, const struct node *n, const struct reading *r);
int type_refuse_hint(const struct field *f, const struct node *n, const struct reading *r, const char *hint);

bool type_is_none(const struct field *f, const struct node *n);
void type_expect_none(const struct field *f, struct strbuf *out); /* " or auto" */

#endif
