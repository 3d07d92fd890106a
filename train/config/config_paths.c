/* config_paths.c: the paths of a config: made absolute when it is read, looked for when a run starts. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "data/formats/mistakes.h"
#include "kernels/base/arena.h"
#include "train/config/options.h"

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

/* Whether an input is not there, or not what it must be: then the sentence, for people. */
static bool path_trouble(const char *path, bool folder, char *out, size_t n)
{
    struct stat st;
    if (stat(path, &st))
        snprintf(out, n, "%s: %s", path, errno == ENOENT ? "there is no such file or folder" : strerror(errno));
    else if (folder != !!S_ISDIR(st.st_mode))
        snprintf(out, n, "%s is a %s; a %s is expected", path, folder ? "file" : "folder", folder ? "folder" : "file");
    else
        return false;
    return true;
}

static bool is_among(const char *key, const char *const *keys)
{
    for (; keys && *keys; keys++)
        if (!strcmp(key, *keys))
            return true;
    return false;
}

Status config_check_paths(const RunConfig *cfg, const char *const *keys, const char *const *but)
{
    Mistakes m = {.lines = NULL};
    char trouble[PATH_MAX + 128];
    for (int i = 0; i < N_OPTIONS; i++) {
        const Option *o = &OPTIONS[i];
        const ConfigPlace *p = &cfg->places[i];
        const char *path = o->flags & (OPTION_FOLDER | OPTION_FILE) ? *(char *const *)((const char *)cfg + o->offset) : NULL;
        if (path && (!keys || is_among(o->key, keys)) && !is_among(o->key, but) &&
            path_trouble(path, o->flags & OPTION_FOLDER, trouble, sizeof trouble))
            mistakes_add(&m, p->line ? cfg->file : p->given ? "--set" : "default", p->line, p->column, "%s: %s", o->key, trouble);
    }
    return mistakes_end(&m, ERR_MISSING, cfg->file);
}
