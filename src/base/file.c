#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

int file_map_open(struct file_map *m, const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0)
        return err_set(e, ERR_INPUT, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(e, ERR_INPUT, "%s: not a regular file", path);
    }
    const void *data = "";
    if (st.st_size > 0)
        data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    int saved = errno;
    close(fd);
    if (data == MAP_FAILED)
        return err_set(e, ERR_ENVIRONMENT, "%s: cannot be mapped: %s", path, strerror(saved));
    m->data = data;
    m->size = (size_t)st.st_size;
    return 0;
}

void file_map_close(struct file_map *m)
{
    if (m->size)
        munmap((void *)m->data, m->size);
    *m = (struct file_map){0};
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool file_is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int make_one(const char *path, struct err *e)
{
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && file_is_directory(path)))
        return 0;
    return err_errno(e, "%s: cannot make the directory", path);
}

int file_make_directories(const char *path, struct err *e)
{
    char *copy = mem_strdup(path);
    int rc = 0;
    for (char *slash = strchr(copy + 1, '/'); slash && !rc; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        rc = make_one(copy, e);
        *slash = '/';
    }
    if (!rc)
        rc = make_one(copy, e);
    mem_free(copy);
    return rc;
}

int file_write_at(int fd, const char *path, const void *bytes, size_t size, uint64_t offset, struct err *e)
{
    const char *from = bytes;
    while (size) {
        ssize_t n = pwrite(fd, from, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, "%s: cannot write", path);
        from += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

/* All bytes, on the disk; closes fd. */
static int fill(int fd, const char *path, const void *bytes, size_t size, struct err *e)
{
    int rc = file_write_at(fd, path, bytes, size, 0, e);
    if (!rc && fsync(fd))
        rc = err_errno(e, "%s: cannot sync", path);
    if (close(fd) && !rc)
        rc = err_errno(e, "%s: cannot close", path);
    return rc;
}

int file_write(const char *path, const void *bytes, size_t size, struct err *e)
{
    char *temporary = mem_printf("%s.tmp.%ld", path, (long)getpid());
    int rc = -1;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        err_errno(e, "%s: cannot create", path);
        goto out;
    }
    rc = fill(fd, path, bytes, size, e);
    if (!rc && rename(temporary, path))
        rc = err_errno(e, "%s: cannot rename to it", path);
    if (rc)
        unlink(temporary);
out:
    mem_free(temporary);
    return rc;
}

/* A name beside path that no other process has, on whatever host. */
static int open_temporary(const char *path, char **temporary, struct err *e)
{
    char host[65] = "";
    gethostname(host, sizeof host - 1);
    for (int i = 0;; i++) {
        *temporary = mem_printf("%s.tmp.%s.%ld.%d", path, host, (long)getpid(), i);
        const int fd = open(*temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0)
            return fd;
        const int why = errno;
        mem_free(*temporary);
        errno = why;
        if (why != EEXIST)
            return err_errno(e, "%s: cannot create", path);
    }
}

int file_create(const char *path, const void *bytes, size_t size, bool *made, struct err *e)
{
    char *temporary, *directory;
    const int fd = open_temporary(path, &temporary, e);
    if (fd < 0)
        return -1;
    int rc = fill(fd, path, bytes, size, e);
    const bool linked = !rc && !link(temporary, path);
    if (!rc && !linked && errno != EEXIST)
        rc = err_errno(e, "%s: cannot be linked to", path);
    unlink(temporary);
    mem_free(temporary);
    if (linked) {
        directory = file_parent(path);
        rc = file_sync_directory(directory, e);
        mem_free(directory);
    }
    if (!rc)
        *made = linked;
    return rc;
}

int file_sync_directory(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, "%s: cannot open", path);
    int rc = fsync(fd) ? err_errno(e, "%s: cannot sync", path) : 0;
    close(fd);
    return rc;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

int file_remove_tree(const char *path, struct err *e)
{
    struct stat st;
    if (lstat(path, &st) && errno == ENOENT)
        return 0;
    enum { OPEN_DIRECTORIES = 16 };
    if (nftw(path, remove_entry, OPEN_DIRECTORIES, FTW_DEPTH | FTW_PHYS))
        return err_errno(e, "%s: cannot remove", path);
    return 0;
}

char *file_join(const char *directory, const char *name)
{
    if (!directory || !*directory || *name == '/')
        return mem_strdup(name);
    size_t n = strlen(directory);
    return mem_printf("%s%s%s", directory, directory[n - 1] == '/' ? "" : "/", name);
}

char *file_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return mem_strdup(".");
    if (slash == path)
        return mem_strdup("/");
    return mem_printf("%.*s", (int)(slash - path), path);
}

char *file_absolute(const char *path)
{
    if (*path == '/')
        return mem_strdup(path);
    char *cwd = getcwd(NULL, 0);
    char *joined = file_join(cwd ? cwd : "", path);
    mem_free(cwd);
    return joined;
}

bool file_ends_in(const char *path, const char *suffix)
{
    const size_t n = strlen(path), m = strlen(suffix);
    return n > m && !strcmp(path + n - m, suffix);
}

const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
