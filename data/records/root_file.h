/* root_file.h: text files beside the pictures of a source that is a folder. Called by the layouts that are one: folder.c,
 * instructpix2pix.c. */
#ifndef GENLLAVA_DATA_RECORDS_ROOT_FILE_H
#define GENLLAVA_DATA_RECORDS_ROOT_FILE_H

#include "data/records/format.h"

/* Bytes of ROOT/PATH, at most 16 MiB, with a NUL behind them; the caller frees them. The path may not lead out of the root. A file that
 * cannot be read is OK with *why and a sentence. */
MUST_USE Status root_file_read(const char *root, const char *path, char **bytes, size_t *n, Reject *why, char sentence[256]);
/* Calls visit with its path when it is an ordinary file below the root. */
MUST_USE Status root_file_visit(const char *root, const char *path, FeedVisit visit, void *arg);
#endif
