/* beneath.c: see beneath.h. The kernel's RESOLVE_BENEATH does all of it but for links with absolute targets, which it refuses; for these,
 * and for kernels without openat2, where the path leads is found out first, and then every step is taken without following any link. */
#include "data/formats/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "data/formats/file.h"

#ifndef SYS_openat2
#define SYS_openat2 437 /* on every architecture */
#endif

/* The part of an absolute path below `folder`, NULL when it lies elsewhere. By the text alone. */
static const char *part_below(const char *folder, const char *path)
{
    size_t n = strlen(folder);
    while (n && folder[n - 1] == '/')
        n--;
    if (strncmp(path, folder, n) || (path[n] && path[n] != '/'))
        return NULL;
    return path + n + strspn(path + n, "/");
}

/* By the text alone. */
static bool climbs_out(const char *path)
{
    int depth = 0;
    for (const char *p = path; *p && depth >= 0;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.')
            depth--;
        else if (n && !(n == 1 && p[0] == '.'))
            depth++;
        p += n + (p[n] == '/');
    }
    return depth < 0;
}

static int fail_with(int error)
{
    errno = error;
    return -1;
}

/* Makes an absolute path that does not begin as the root does relative to it, with the links on the way to its last name followed; the root
 * itself, by another name, is "". */
static int resolve_absolute(const char *root, const char *path, char below[PATH_MAX])
{
    char folder[PATH_MAX], real[PATH_MAX], real_root[PATH_MAX];
    const char *name = strrchr(path, '/') + 1, *part;
    if (!realpath(root, real_root))
        return fail_with(EXDEV);
    *below = 0;
    if (realpath(path, real) && !strcmp(real, real_root))
        return 0;
    if (!realpath(file_folder(folder, path), real) || !(part = part_below(real_root, real)))
        return fail_with(EXDEV);
    return snprintf(below, PATH_MAX, "%s%s%s", part, *part ? "/" : "", name) < PATH_MAX ? 0 : fail_with(ENAMETOOLONG);
}

static int find_by_kernel(int root, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
}

/* A path of plain names, which are no links. */
static int walk(int root, char *path)
{
    int at = openat(root, ".", O_PATH | O_CLOEXEC);
    for (char *rest = path, *name; at >= 0 && (name = strsep(&rest, "/"));) {
        if (!*name)
            continue;
        int next = openat(at, name, O_PATH | O_CLOEXEC | O_NOFOLLOW | (rest ? O_DIRECTORY : 0));
        close(at);
        at = next;
    }
    return at;
}

static int find_by_steps(int root_fd, const char *root, const char *path)
{
    char whole[PATH_MAX], real[PATH_MAX], real_root[PATH_MAX];
    if (snprintf(whole, sizeof whole, "%s/%s", root, path) >= (int)sizeof whole)
        return fail_with(ENAMETOOLONG);
    if (!realpath(root, real_root) || !realpath(whole, real))
        return -1;
    const char *part = part_below(real_root, real);
    return part ? walk(root_fd, real + (part - real)) : fail_with(EXDEV);
}

int beneath_find(const char *root, const char *path)
{
    char resolved[PATH_MAX];
    const char *below = *path == '/' ? part_below(root, path) : path;
    if (*path != '/' && climbs_out(path))
        return fail_with(EXDEV);
    if (!below && resolve_absolute(root, path, resolved))
        return -1;
    below = below ? below : resolved;
    int folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -1;
    int found = find_by_kernel(folder, below);
    if (found < 0 && (errno == EXDEV || errno == ENOSYS || errno == EPERM || errno == EAGAIN))
        found = find_by_steps(folder, root, below);
    int error = errno;
    close(folder);
    errno = error;
    return found;
}

const char *beneath_way_out(const char *root, const char *path)
{
    if (*path == '/' && !part_below(root, path))
        return "is an absolute path outside of";
    return climbs_out(*path == '/' ? part_below(root, path) : path) ? "leads by \"..\" out of" : "leads by a link out of";
}
