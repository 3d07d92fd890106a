/* found.h: which of the libraries that are loaded at run time are there, for train --version and for doctor. */
#ifndef GENLLAVA_TRAIN_DIST_FOUND_H
#define GENLLAVA_TRAIN_DIST_FOUND_H

#include <limits.h>
#include <stdio.h>

/* A line each, as of CliProgram.found. Nothing is begun with: no device is opened, no rank looked for. */
void found_print(FILE *out);
/* The file of the CUDA driver's library, links followed, whose name ends with the driver's version; "": there is none. */
void found_driver_file(char path[PATH_MAX]);
#endif
