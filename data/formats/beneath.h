/* beneath.h: finds a file by a path that comes from a stranger, below a folder that it may not leave. Called by data/pictures and
 * data/records. */
#ifndef GENLLAVA_DATA_FORMATS_BENEATH_H
#define GENLLAVA_DATA_FORMATS_BENEATH_H

/* A descriptor that stands for the file (O_PATH: nothing of it is opened yet), or -1 with errno; EXDEV: the path leads out of `root`.
 * A relative path starts at the root and may not climb above it; an absolute one must lie inside, as it is written or with its links
 * followed. Links are followed as long as they stay inside. Where the path leads is judged by the very act that finds the file: a link that
 * is put in its place meanwhile leads nowhere. */
int beneath_find(const char *root, const char *path);
/* The same way out of the root as EXDEV, for people: "is an absolute path outside of", … */
const char *beneath_way_out(const char *root, const char *path);
#endif
