/* The job of a command: the file's text, read by one rank, and the --set overrides. */
#ifndef RETORT_CLI_JOB_FILE_H
#define RETORT_CLI_JOB_FILE_H

#include "cli/options.h"
#include "conf/job.h"
#include "par/comm.h"

/* Collective over world (NULL: alone). Rank 0 reads and broadcasts the bytes; every rank parses the same. Also logs the
 * job's warnings on rank 0. */
int job_file_read(struct job **out, const char *path, const struct option_list *overrides, const struct comm *world,
                  struct err *e);

#endif
