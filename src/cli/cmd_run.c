/* retort run JOB: the job under mpirun, srun or alone. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/console.h"
#include "cli/job_file.h"
#include "cli/program.h"
#include "job/run.h"

static volatile sig_atomic_t stop;

/* USR1 alone: launchers end a failed job by TERM, and that must not be waited out. */
static void ask_to_stop(int signal_number)
{
    (void)signal_number;
    stop = 1;
}

static void watch_signal(void)
{
    struct sigaction action = {.sa_handler = ask_to_stop, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
}

struct watch {
    double began;
    int64_t first_step; /* of this launch */
    double smoothed;    /* seconds a step */
};

static void attach_log(void *context, const char *path)
{
    (void)context;
    console_log_to(path);
}

static void print_eta(char *text, size_t room, double seconds)
{
    long s = lround(seconds);
    if (s >= 3600)
        snprintf(text, room, "%ldh%02ldm", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(text, room, "%ldm%02lds", s / 60, s % 60);
    else
        snprintf(text, room, "%lds", s);
}

static void show_step(void *context, const struct step_metrics *s, int64_t steps)
{
    struct watch *w = context;
    char line[256], eta[32];
    w->smoothed = w->smoothed > 0 ? 0.9 * w->smoothed + 0.1 * s->seconds : s->seconds;
    print_eta(eta, sizeof eta, w->smoothed * (double)(steps - s->step));
    snprintf(line, sizeof line,
             "step %lld/%lld  loss %.4f  kl %.4f  ce %.4f  lr %.2e  |g| %.3f  %.0f tok/s  label wait %.2fs  eta %s",
             (long long)s->step, (long long)steps, s->loss, s->kl, s->ce, s->learning_rate, s->grad_norm,
             s->seconds > 0 ? (double)s->tokens / s->seconds : 0, s->label_wait_seconds, eta);
    console_progress(line, s->step == steps);
}

static void show_validation(void *context, int64_t step, const struct validation_metrics *v)
{
    (void)context;
    char line[256];
    snprintf(line, sizeof line, "validation at step %lld: loss %.4f  kl %.4f  ce %.4f  perplexity %.3f  accuracy %.4f",
             (long long)step, v->loss, v->kl, v->ce, v->perplexity, v->accuracy);
    console_progress(line, 1);
}

static void show_labels(void *context, const struct label_progress *p)
{
    (void)context;
    char line[256], eta[32];
    print_eta(eta, sizeof eta, p->seconds_left);
    snprintf(line, sizeof line, "labels %lld/%lld sequences  %.0f tok/s  eta %s", (long long)p->done,
             (long long)p->total, p->tokens_per_second, eta);
    console_progress(line, p->done == p->total);
}

static void show_result(void *context, const char *text)
{
    (void)context;
    console_print(text, strlen(text));
}

int cmd_run(int argc, char **argv, struct err *e)
{
    static const char *const roles[] = {"teacher", "student", "any", NULL};
    const char *path[1] = {NULL};
    struct option_list set = {0};
    bool resume = false, fresh = false;
    int role = ROLE_ANY, rc;
    const struct option options[] = {
        {"--set", OPTION_LIST, &set, "KEY=VALUE", "overrides a key of the job; may be repeated", NULL, false},
        {"--resume", OPTION_FLAG, &resume, NULL, "insist on going on from a checkpoint", NULL, false},
        {"--fresh", OPTION_FLAG, &fresh, NULL, "replace an existing run directory", NULL, false},
        {"--role", OPTION_CHOICE, &role, "ROLE", "this rank's role in an MPMD launch", roles, false},
        {0},
    };
    static const char *const names[] = {"JOB"};
    const struct command_line line = {
        .command = "run",
        .usage = "JOB [--set key=value]... [--resume | --fresh] [--role ROLE]",
        .about =
            "Runs the job: distill, precompute, finetune or evaluate. Start it under mpirun or srun with the ranks "
            "that the job\nasks for. A run that was stopped goes on from its last checkpoint by itself. SIGUSR1 stops "
            "it "
            "after the step in work (exit status 75).",
        .options = options,
        .positional = path,
        .positional_names = names,
        .positional_least = 1,
        .positional_most = 1,
    };
    if (!program_options(&line, argc, argv, &rc, e))
        return rc;
    watch_signal();
    const struct comm *world = program_world();
    struct watch watch = {.began = clock_seconds()};
    struct run_observer observer = {attach_log, show_step, show_validation, show_labels, show_result, &watch};
    struct run_options run = {fresh, resume, (enum role)role, &stop, &observer};
    struct job *job = NULL;
    if (resume && fresh)
        rc = err_set(e, ERR_USAGE, "--resume and --fresh exclude each other");
    else
        rc = job_file_read(&job, path[0], &set, world, e);
    if (!rc)
        rc = job_run(world, job, &run, e);
    job_free(job);
    option_list_release(&set);
    return rc;
}
