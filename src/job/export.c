#include "job/export.h"

#include "base/mem.h"
#include "job/output_directory.h"
#include "model/save.h"
#include "par/agree.h"

int export_run(const struct comm *world, const struct export_options *o, struct err *e)
{
    struct solo s;
    if (world->rank == 0)
        output_directory_make(o->out, "--out", e);
    if (agree(world, e) || solo_open(&s, world, &o->solo, e))
        return -1;
    int rc = model_save(s.model, o->out, o->dtype, o->solo.adapter != NULL, e);
    if (!rc) {
        if (world->rank == 0)
            tokenizer_write(s.tokenizer, o->out, e);
        rc = agree(world, e);
    }
    solo_close(&s);
    return rc;
}
