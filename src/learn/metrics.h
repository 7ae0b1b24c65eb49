/* metrics.jsonl: one JSON object a line, written by one rank. Numbers are printed so that they read back to the same
 * bits; fields that depend on time end in seconds or per_second. */
#ifndef RETORT_LEARN_METRICS_H
#define RETORT_LEARN_METRICS_H

#include "learn/trainer.h"

struct metrics;

/* Opens run_directory/metrics.jsonl. Lines of steps after `keep` (what a killed run wrote after its last checkpoint)
 * are dropped, so that a resumed run goes on as if it had never stopped. keep -1: begin anew. */
int metrics_open(struct metrics **out, const char *run_directory, int64_t keep, struct err *e);
void metrics_close(struct metrics *m);

/* ERR_ENVIRONMENT if the disk does not take the line. */
int metrics_step(struct metrics *m, const struct step_metrics *s, struct err *e);
int metrics_validation(struct metrics *m, int64_t step, const struct validation_metrics *v, struct err *e);

#endif
