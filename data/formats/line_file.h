/* line_file.h: files of lines that are read from their start to their end, and of which single lines are read again later. A pipe, which
 * can be read once, is copied first, into a file without a name in TMPDIR. Called by curate and by the rows of MagicBrush.
 *
 * However many there are, at most 64 that have a name are open at a time; the others are opened again when they are read. */
#ifndef GENLLAVA_DATA_FORMATS_LINE_FILE_H
#define GENLLAVA_DATA_FORMATS_LINE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef struct LineFile {
    const char *name, *path; /* for messages; for rows_open. Borrowed, or the path is `kept` */
    int fd;                  /* -1: it is opened when a line is read */
    char kept[40];
} LineFile;

enum { LINE_FILES_OPEN = 64 };

/* Zero it to begin with. */
typedef struct LineFiles {
    LineFile *files;
    int n;
    int open[LINE_FILES_OPEN]; /* + 1; in turn each makes room for another */
    int next;
} LineFiles;

/* A line's place in them. */
typedef struct LinePlace {
    int64_t start;
    uint32_t n;    /* bytes */
    uint32_t file; /* which of them */
} LinePlace;

/* A buffer that is used again. */
typedef struct LineText {
    char *text;
    size_t room;
} LineText;

/* All of them must be there: ERR_MISSING. "-": standard input. */
MUST_USE Status line_files_open(LineFiles *f, const char *const *paths, int n);
void line_files_close(LineFiles *f);
/* The line, and a NUL after it. */
MUST_USE Status line_files_read(LineFiles *f, const LinePlace *place, LineText *out);
/* The same of a file that is open; name: for messages. */
MUST_USE Status line_read(int fd, const char *name, const LinePlace *place, LineText *out);
#endif
