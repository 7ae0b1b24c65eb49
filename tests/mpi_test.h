/* The frame of a test program that runs under mpirun: every rank runs the same tests, and a test that fails on one rank
 * ends the job at once with status 1, because the others may stand in a collective that this rank has left.
 *
 *     int main(int argc, char **argv)
 *     {
 *         const struct CMUnitTest tests[] = {...};
 *         return mpi_test_run(argc, argv, tests, sizeof tests / sizeof *tests);
 *     }
 *
 * Failures and progress are started around the tests: with the communication thread where MPI grants it, or without it
 * if the first argument is "poll". */
#ifndef RETORT_TESTS_MPI_TEST_H
#define RETORT_TESTS_MPI_TEST_H

#include "test.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "par/comm.h"
#include "par/failure.h"
#include "par/progress.h"
#include "par/sum.h"

static struct comm world; /* what the tests work on */
static bool threaded;     /* the communication thread runs */

static void mpi_test_log(void *context, enum log_level level, const char *line)
{
    (void)context;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

static void mpi_test_leave(const struct err *e)
{
    failure_leave(e);
}

static int mpi_test_run(int argc, char **argv, const struct CMUnitTest *tests, size_t count)
{
    bool multiple;
    log_set_sink(mpi_test_log, NULL);
    comm_start(&world, &multiple);
    failure_start(&world, mpi_test_leave);
    threaded = multiple && !(argc > 1 && strcmp(argv[1], "poll") == 0);
    progress_start(threaded);
    /* one by one, so that a failure is known before the next collective */
    for (size_t i = 0; i < count; i++)
        if (_cmocka_run_group_tests(tests[i].name, &tests[i], 1, NULL, NULL) != 0)
            comm_abort(&world, 1);
    sum_release();
    progress_stop();
    failure_stop();
    comm_finish(&world);
    return 0;
}

#endif
