/* Checkpoints: whole tensors by their Hugging Face names, so that they load on any layout of ranks.
 *
 * checkpoints/step-000200/ holds state.safetensors (each trainable parameter in f32 as NAME, its moments as
 * exp_avg.NAME and exp_avg_sq.NAME) and state.json (step). It appears under its name only when it is whole and on disk.
 */
#ifndef RETORT_LEARN_CHECKPOINT_H
#define RETORT_LEARN_CHECKPOINT_H

#include "learn/optimizer.h"
#include "par/groups.h"

/* Collective over the student group. Removes all but the newest `keep` afterwards (keep 0: keeps all). */
int checkpoint_save(const char *run_directory, int64_t step, const struct optimizer *o, const struct groups *g,
                    int keep, struct err *e);

/* Local. The newest whole checkpoint's step in run_directory, or 0. */
int64_t checkpoint_newest(const char *run_directory);

/* Collective over readers. Fills the trainable buffer and the own moments. o NULL: weights alone. */
int checkpoint_load(const char *run_directory, int64_t step, const struct model *m, struct optimizer *o,
                    const struct comm *readers, struct err *e);

#endif
