/* lock.h: one process at a time uses a folder, or adds to a file: prepare its shards, training its run, evaluate its answers. */
#ifndef GENLLAVA_DATA_FORMATS_LOCK_H
#define GENLLAVA_DATA_FORMATS_LOCK_H

#include <limits.h>
#include <stdbool.h>

#include "kernels/base/status.h"

/* FOLDER/.lock: the kernel's lock (flock), which goes with the process and its children; host and pid in it are for people. */
typedef struct Lock {
    bool held;
    int fd;
    char path[PATH_MAX];
} Lock;

/* A lock whose process is gone is taken over. use: what the folder is for, in "FOLDER is being USE by process N". by_host: one that another
 * host's process left stays, for file systems whose hosts do not see each other's flock. On a file system without flock only one that a
 * process of this host left is taken over. ERR_CREATE names the holder. */
MUST_USE Status lock_take(Lock *l, const char *folder, const char *use, bool by_host);
/* The same of a file: the lock is FILE.lock beside it. */
MUST_USE Status lock_take_file(Lock *l, const char *file, const char *use, bool by_host);
void lock_release(Lock *l); /* one that is not held is fine */
/* Whether a process of this machine has the folder now, for those who only look. False where nobody has a right to look. */
bool lock_is_held(const char *folder);
#endif
