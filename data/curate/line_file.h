/* line_file.h: a file of lines that is read from its start to its end, and of which single lines are read again later. A pipe is copied
 * first, into a file without a name. Called by ingest and stats. */
#ifndef GENLLAVA_DATA_CURATE_LINE_FILE_H
#define GENLLAVA_DATA_CURATE_LINE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "kernels/base/status.h"

typedef struct LineFile {
    const char *name, *path; /* for messages; for rows_open. Borrowed, or the path is `kept` */
    int fd;
    FILE *copy; /* of a pipe, else NULL */
    char kept[40];
} LineFile;

/* A line's place in it. */
typedef struct LinePlace {
    int64_t start;
    uint32_t n;    /* bytes */
    uint16_t file; /* which of several */
} LinePlace;

/* A buffer that is used again. */
typedef struct LineText {
    char *text;
    size_t room;
} LineText;

/* "-": standard input. The struct stays where it is until it is closed. */
MUST_USE Status line_file_open(LineFile *f, const char *path);
void line_file_close(LineFile *f);
MUST_USE Status line_file_read(const LineFile *f, const LinePlace *place, LineText *out);
#endif
