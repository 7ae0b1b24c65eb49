#include "job/output_directory.h"

#include <dirent.h>
#include <string.h>

#include "base/file.h"

bool directory_is_empty(const char *path)
{
    DIR *d = opendir(path);
    int entries = 0;
    for (struct dirent *entry; d && (entry = readdir(d));)
        entries += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
    if (d)
        closedir(d);
    return entries == 0;
}

int output_directory_make(const char *path, const char *key, struct err *e)
{
    if (file_exists(path) && !file_is_directory(path))
        return err_set(e, ERR_ENVIRONMENT, "%s: %s is a file; name a new directory", key, path);
    if (!directory_is_empty(path))
        return err_set(e, ERR_ENVIRONMENT, "%s: %s is not empty; name a new directory", key, path);
    return file_make_directories(path, e);
}
