/* One error: a code that becomes the exit status and a text for the user. The caller owns it; nothing is printed here.
 *
 * Every text is one line that names the file, the key or the tensor, what was expected and what to do. */
#ifndef RETORT_BASE_ERR_H
#define RETORT_BASE_ERR_H

/* X(name, exit status, what it stands for): the whole list; the exit status is the contract of every command. */
#define ERR_CODES(X)                             \
    X(ERR_NONE, 0, "done")                       \
    X(ERR_BUG, 1, "a fault of retort itself")    \
    X(ERR_USAGE, 2, "command line or job spec")  \
    X(ERR_INPUT, 3, "model, data or store")      \
    X(ERR_ENVIRONMENT, 4, "MPI, memory or disk") \
    X(ERR_STOPPED, 75, "stopped on request after a checkpoint")

enum err_code {
#define X(name, status, meaning) name = status,
    ERR_CODES(X)
#undef X
};

struct err {
    enum err_code code;
    char text[1024]; /* always terminated; cut if longer */
};

/* Sets code and text and returns -1, so that a function can `return err_set(...)`. The first error stays. */
int err_set(struct err *e, enum err_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the text of an error that is set; does nothing otherwise. */
void err_prefix(struct err *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* err_set(ERR_ENVIRONMENT, "<what>: <strerror(errno)>"). */
int err_errno(struct err *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

void err_clear(struct err *e);

#endif
