/* file.h: the one door to files and folders: names, reading whole, writing so that it is there after a power cut, staging, listing,
 * removing. Every message names the path and the cause. What cannot be created is ERR_CREATE, a full disk ERR_IO. */
#ifndef GENLLAVA_DATA_FORMATS_FILE_H
#define GENLLAVA_DATA_FORMATS_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "kernels/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- names */
/* "FOLDER/NAME" into path[PATH_MAX]; returns it. A path too long for that becomes one that every use refuses ("File name too long"). */
char *file_join(char *path, const char *folder, const char *name);
/* The folder that a path lies in, into folder[PATH_MAX]: "." for a bare name. Returns it. */
char *file_folder(char *folder, const char *path);
/* file_join, but "../NAME" is what lies beside the folder as its path is written, also where the folder is a link to another place. */
char *file_join_beside(char *path, const char *folder, const char *name);
/* What messages call a path: "standard input" for "-". */
const char *file_name(const char *path);
/* 12345678 as "11.8 MiB" into buf; returns buf. */
const char *file_size_text(char *buf, size_t n, size_t n_bytes);

/* How many files this process may hold open besides a few dozen that come and go, by its limit (ulimit -n). */
int64_t file_room(void);
/* What kind of thing a path names, as messages say it: "a folder", "a device", "a pipe", "a file", … mode: st_mode. */
const char *file_kind(mode_t mode);

/* ---- reading */
/* Whether two paths name one ordinary file, also through links; of what is not there yet, the same name in one folder. */
bool file_same(const char *a, const char *b);
/* ERR_USAGE where an output, named by an option, is a file that the run reads: what is that ("exclusion list")? NULL and "-" pass. */
MUST_USE Status file_spare(const char *option, const char *out, const char *input, const char *what);
/* Also a link to nothing, and what there is no right to look at: whoever opens that says so. */
bool file_exists(const char *path);
/* All bytes of a file ("-": standard input) and a NUL after them; the caller frees with mem_free. Absent, unreadable, a folder, a pipe or a
 * device: ERR_MISSING; more than `most` bytes: ERR_DATA. */
MUST_USE Status file_read(char **bytes, size_t *n, const char *path, size_t most);
/* The same, where a pipe is fine too. */
MUST_USE Status file_read_pipe(char **bytes, size_t *n, const char *path, size_t most);
/* Opens a file to read; the same things are ERR_MISSING. */
MUST_USE Status file_open(int *fd, const char *path);
/* ERR_MISSING for an open folder, device or socket: it is neither a file nor a pipe. */
MUST_USE Status file_check_kind(int fd, const char *path);
/* Exactly n bytes from a place of an open file; one that ends before them is ERR_DATA. */
MUST_USE Status file_read_at(int fd, const char *path, void *bytes, size_t n, int64_t at);

/* ---- writing: a link that stands where a file is to be made is never followed */
/* Creates or replaces `path`. It is not synced: for what can be made again. */
MUST_USE Status file_write(const char *path, const void *bytes, size_t n);
/* The same, synced. */
MUST_USE Status file_save(const char *path, const void *bytes, size_t n);
/* At a place of an open file, or where it stands (-1). */
MUST_USE Status file_write_at(int fd, const char *path, const void *bytes, size_t n, int64_t at);
/* Opens a file to write from its start; what it held is gone. */
MUST_USE Status file_create(int *fd, const char *path);
/* Opens a file that is not there yet; else ERR_CREATE. */
MUST_USE Status file_create_new(FILE **out, const char *path);
/* Opens a file to add to its end. A link, or anything that is no file, is refused. */
MUST_USE Status file_append(FILE **out, const char *path);
MUST_USE Status file_copy(const char *from, const char *to); /* synced */
MUST_USE Status file_rename(const char *from, const char *to);

/* A file that appears whole or not at all: written beside `path` under a hidden name, then renamed over it. */
typedef struct FileDraft {
    FILE *out;
    char path[PATH_MAX], hidden[PATH_MAX];
} FileDraft;
MUST_USE Status file_draft(FileDraft *d, const char *path);
/* Ends the draft. s: how writing went; OK: synced and renamed, else removed. Returns s, or what went wrong now. */
MUST_USE Status file_publish(FileDraft *d, Status s);
/* Calls write with a draft, and publishes it; or with what is open at the path where that is no ordinary file (/dev/stderr, a pipe), or
 * with standard output for "-". */
typedef Status (*FileWrite)(void *arg, FILE *out);
MUST_USE Status file_deliver(const char *path, FileWrite write, void *arg);
/* ERR_CREATE where file_deliver could not begin; leaves nothing. */
MUST_USE Status file_check_delivery(const char *path);
/* For files that appear together: ends the draft, whose hidden file then waits, synced, for file_reveal. After an error it is removed. */
MUST_USE Status file_settle(FileDraft *d, Status s);
/* Of the path of a settled draft: it appears; or it goes, where there is one. */
MUST_USE Status file_reveal(const char *path);
void file_withdraw(const char *path);
/* A draft of a text and a newline, published. */
MUST_USE Status file_replace(const char *path, const char *text);

/* ---- folders */
/* Creates a folder and those above it; existing ones are fine. */
MUST_USE Status file_make_folders(const char *path);
/* A folder in one that exists; a link there, or anything that is no folder, is refused. */
MUST_USE Status file_make_own_folder(const char *path);
/* A new folder "genllava-NAME-…" for this user alone, in TMPDIR or /tmp, into folder[PATH_MAX]. */
MUST_USE Status file_make_temporary(char *folder, const char *name);
/* Whether file_make_folders would find a place where it may write; makes nothing. ERR_CREATE. */
MUST_USE Status file_check_folders(const char *path);
/* Makes the names in a folder durable. */
MUST_USE Status file_sync_folder(const char *path);
/* Calls visit for every name in a folder but "." and "..", sorted. */
typedef Status (*FileVisit)(void *arg, const char *name);
MUST_USE Status file_list(const char *path, FileVisit visit, void *arg);
/* Removes a file, link or whole tree; absent is fine. */
MUST_USE Status file_remove(const char *path);
/* Removes a folder that leaves its name first ("FOLDER/.NAME.old"), so that half of one is never met under it. */
MUST_USE Status file_retire_folder(const char *path);
/* An empty folder to fill under a hidden name, in a folder that is there; what an earlier one left goes. It is held (held.h) until it is
 * published or discarded, so that what is put into it by its name lands nowhere else. */
MUST_USE Status file_stage_folder(const char *hidden);
/* ERR_IO where the folder, or one in it that is held too, is no longer at its name. */
MUST_USE Status file_check_staged(const char *hidden);
/* The filled folder appears as `path`, in place of what was there; synced, as is the folder around it. file_check_staged must
 * hold. After an error the caller discards it. Where the file system cannot exchange two names (NFS),
 * what was there stands aside in between ("FOLDER/.NAME.aside"), and a kill may leave it so. */
MUST_USE Status file_publish_folder(const char *hidden, const char *path);
/* What a kill left aside under such a name gets its own again, unless that is taken. Other names are fine. */
MUST_USE Status file_put_back(const char *folder, const char *name);
/* Removes a staged folder after the error s, unless something else stands at its name. Returns s. */
MUST_USE Status file_discard_folder(const char *hidden, Status s);

#ifdef __cplusplus
}
#endif
#endif
