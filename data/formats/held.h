/* held.h: folders that this thread holds open while it fills them. A path below one of them is used inside the folder that was opened,
 * whatever its name leads to by then, and no link on the way or at its end is followed. Any other path is used as it stands. file.c, where
 * it writes, lists or removes, and those who write into a run folder by system calls go through these; what is only read is read by its
 * name. errno tells what went wrong. */
#ifndef GENLLAVA_DATA_FORMATS_HELD_H
#define GENLLAVA_DATA_FORMATS_HELD_H

#include <stdbool.h>
#include <sys/stat.h>

#include "kernels/base/status.h"

/* Opens the folder at `path` and holds it; paths are compared by their text. */
MUST_USE Status held_take(const char *path);
/* That folder and those held below it; none is fine. */
void held_release(const char *path);
/* Whether a name leads, without a link, to the folder that was opened at `path`. */
bool held_is_at(const char *path, const char *name);
/* Whether it and all that are held below it are still at their names. */
bool held_same(const char *path);

/* As the calls of these names, below a held folder; also of the held folder itself where it is opened. */
int held_open(const char *path, int flags, mode_t mode);
int held_lstat(const char *path, struct stat *st);
int held_mkdir(const char *path);
int held_symlink(const char *target, const char *path);
int held_rename(const char *from, const char *to);
int held_exchange(const char *from, const char *to); /* of two names; not every file system can */
int held_remove(const char *path, bool folder);      /* unlink, or rmdir */
#endif
