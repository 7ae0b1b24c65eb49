/* Files: map to read, write whole through a temporary name, walk directories. Every error names the path. */
#ifndef RETORT_BASE_FILE_H
#define RETORT_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A file mapped read-only. An empty file has data "" and size 0. */
struct file_map {
    const unsigned char *data;
    size_t size;
};

/* -1 and ERR_INPUT if the file cannot be opened or is no regular file. */
int file_map_open(struct file_map *m, const char *path, struct err *e);
void file_map_close(struct file_map *m); /* takes one that was never opened, if zeroed */

bool file_exists(const char *path);
bool file_is_directory(const char *path);

/* The path and every missing parent. */
int file_make_directories(const char *path, struct err *e);

/* Writes to "path.tmp.<pid>", fsyncs, renames: a reader sees the old file or the new one, never a part. */
int file_write(const char *path, const void *bytes, size_t size, struct err *e);

/* The same for a file that must not be there yet: of several processes on any hosts that come at once, one makes it
 * (*made), and nobody sees a part of it. The directory is synced, too. */
int file_create(const char *path, const void *bytes, size_t size, bool *made, struct err *e);

/* fsync of the directory itself, so that names survive a crash. */
int file_sync_directory(const char *path, struct err *e);

/* A file or a whole tree; not being there is no error. */
int file_remove_tree(const char *path, struct err *e);

/* pwrite of all bytes, or -1 (ERR_ENVIRONMENT). */
int file_write_at(int fd, const char *path, const void *bytes, size_t size, uint64_t offset, struct err *e);

/* directory + "/" + name, or name alone if it is absolute or directory is NULL or "". mem_free it. */
char *file_join(const char *directory, const char *name);
/* "a/b/c.txt" -> "a/b"; "c.txt" -> ".". mem_free it. */
char *file_parent(const char *path);
/* The absolute form of path, without asking whether it exists. mem_free it. */
char *file_absolute(const char *path);
const char *file_name(const char *path);                 /* the part after the last slash */
bool file_ends_in(const char *path, const char *suffix); /* and has something before it */

#endif
