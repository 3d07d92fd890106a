/* config_paths.c: the paths of a config: made absolute when it is read, looked for when a run starts. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "kernels/base/arena.h"
#include "train/options.h"

char *config_absolute(const char *base, const char *path)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", *path == '/' ? "" : base);
    size_t n = *path == '/' ? 0 : strlen(folder);
    while (n && folder[n - 1] == '/')
        folder[--n] = 0;
    for (bool more = *path != '/'; more;) {
        size_t skip = strspn(path, "/");
        path += skip;
        more = true;
        if (!strncmp(path, "./", 2) || !strcmp(path, "."))
            path += 1;
        else if (!strncmp(path, "../", 3) || !strcmp(path, "..")) {
            path += 2;
            while (n && folder[n - 1] != '/')
                n--;
            folder[n ? --n : 0] = 0;
        } else
            more = false;
    }
    while (*path == '/')
        path++;
    size_t m = strlen(path);
    while (m && path[m - 1] == '/')
        m--;
    char *out = mem_alloc(n + m + 2);
    if (out)
        snprintf(out, n + m + 2, "%.*s%s%.*s", (int)n, folder, m || !n ? "/" : "", (int)m, path);
    return out;
}

static Status check_path(const char *key, const char *path, bool folder)
{
    struct stat st;
    if (stat(path, &st))
        return fail(ERR_MISSING, "%s: %s: %s", key, path, errno == ENOENT ? "there is no such file or folder" : strerror(errno));
    if (folder && !S_ISDIR(st.st_mode))
        return fail(ERR_MISSING, "%s: %s is a file; a folder is expected", key, path);
    if (!folder && S_ISDIR(st.st_mode))
        return fail(ERR_MISSING, "%s: %s is a folder; a file is expected", key, path);
    return OK;
}

Status config_check_paths(const RunConfig *cfg)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        const Option *o = &OPTIONS[i];
        const char *path = o->flags & (OPTION_FOLDER | OPTION_FILE) ? *(char *const *)((const char *)cfg + o->offset) : NULL;
        if (path)
            TRY(check_path(o->key, path, o->flags & OPTION_FOLDER));
    }
    return OK;
}
