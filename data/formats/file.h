/* file.h: whole files into memory. Messages name the path and the cause. */
#ifndef GENLLAVA_DATA_FORMATS_FILE_H
#define GENLLAVA_DATA_FORMATS_FILE_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "kernels/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All bytes of `path` ("-": standard input) and a NUL after them; the caller frees with mem_free. Absent, unreadable or a folder: ERR_MISSING;
 * more than `most` bytes: ERR_DATA. Pipes are fine. */
MUST_USE Status file_read(char **bytes, size_t *n, const char *path, size_t most);
/* Creates or replaces `path`; not creatable: ERR_CREATE, not writable: ERR_IO. A caller that needs whole-or-absent renames afterwards. */
MUST_USE Status file_write(const char *path, const void *bytes, size_t n);
/* Creates the folder unless it is there (its parent must be). */
MUST_USE Status file_make_folder(const char *path);
/* getline that tells the end (OK, *n is -1) from trouble; name stands in messages. *line is getline's: free() it. */
MUST_USE Status file_line(FILE *f, const char *name, char **line, size_t *capacity, ssize_t *n);
/* "FOLDER/NAME" into path[FILE_MAX_PATH]. */
enum { FILE_MAX_PATH = 4096 };
MUST_USE Status file_join(char *path, const char *folder, const char *name);
/* What messages call a path: "standard input" for "-". */
const char *file_name(const char *path);
/* 12345678 as "11.8 MiB" into buf; returns buf. */
const char *file_size_text(char *buf, size_t n, size_t n_bytes);

#ifdef __cplusplus
}
#endif
#endif
