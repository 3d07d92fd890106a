/* disk.h: writing files so that they are there after a power cut. Every message names the file and the cause; a full disk is ERR_IO. */
#ifndef GENLLAVA_DATA_FORMATS_DISK_H
#define GENLLAVA_DATA_FORMATS_DISK_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/status.h"

/* Joins into buf (PATH_MAX bytes) and returns it. */
char *disk_join(char *buf, const char *folder, const char *name);
/* Creates `path` with these bytes, fsynced. */
MUST_USE Status disk_write(const char *path, const void *bytes, size_t n);
/* The same for text, with a newline at its end. */
MUST_USE Status disk_write_text(const char *path, const char *text);
/* The same under a temporary name, then renamed over `path`: readers see the old or the new text, never a part. */
MUST_USE Status disk_replace(const char *path, const char *text);
MUST_USE Status disk_copy(const char *from, const char *to);
/* Creates a folder and those above it; existing ones are fine. ERR_CREATE. */
MUST_USE Status disk_make_folders(const char *path);
MUST_USE Status disk_make_folder(const char *path); /* must not exist */
/* Whether disk_make_folders would find a place where it may write; makes nothing. ERR_CREATE. */
MUST_USE Status disk_check_folders(const char *path);
/* Makes the names in a folder durable. */
MUST_USE Status disk_sync_folder(const char *path);
MUST_USE Status disk_rename(const char *from, const char *to);
/* Removes a file, link or whole tree; absent is fine. */
MUST_USE Status disk_remove(const char *path);
bool disk_exists(const char *path);
/* Calls visit for every name in a folder but "." and "..", sorted. */
typedef Status (*DiskVisit)(void *arg, const char *name);
MUST_USE Status disk_list(const char *path, DiskVisit visit, void *arg);
#endif
