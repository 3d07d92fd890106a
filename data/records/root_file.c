/* root_file.c: see root_file.h. */
#include "data/records/root_file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/beneath.h"
#include "data/formats/file.h"

enum { LARGEST_FILE = 16 << 20 };

Status root_file_read(const char *root, const char *path, char **bytes, size_t *n, Reject *why, char sentence[256])
{
    char name[32];
    *bytes = NULL;
    *why = REJECT_NONE;
    const int found = beneath_find(root, path), error = errno;
    if (found < 0 && (error == EMFILE || error == ENFILE || error == ENOMEM)) /* says nothing about the file */
        return fail(ERR_NOMEM, "%s/%s: cannot be opened: %s", root, path, strerror(error));
    if (found < 0) {
        *why = error == EXDEV ? REJECT_OUTSIDE_ROOT : REJECT_MISSING;
        if (error == EXDEV)
            snprintf(sentence, 256, "%s the folder %.200s", beneath_way_out(root, path), root);
        else
            snprintf(sentence, 256, "cannot be opened: %s", strerror(error));
        return OK;
    }
    snprintf(name, sizeof name, "/proc/self/fd/%d", found);
    const Status s = file_read(bytes, n, name, LARGEST_FILE);
    close(found);
    if (s != ERR_MISSING && s != ERR_DATA)
        return s;
    *why = s == ERR_MISSING ? REJECT_MISSING : REJECT_BAD_JSON;
    snprintf(sentence, 256, "%s", status_message() + strlen(name) + 2);
    return OK;
}

Status root_file_visit(const char *root, const char *path, FeedVisit visit, void *arg)
{
    char whole[PATH_MAX];
    struct stat st;
    const int found = beneath_find(root, path);
    const bool is_file = found >= 0 && !fstat(found, &st) && S_ISREG(st.st_mode);
    if (found >= 0)
        close(found);
    return is_file ? visit(arg, *path == '/' ? path : file_join(whole, root, path)) : OK;
}
