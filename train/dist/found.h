/* found.h: which of the libraries that are loaded at run time are there, for train --version. Called by main. */
#ifndef GENLLAVA_TRAIN_DIST_FOUND_H
#define GENLLAVA_TRAIN_DIST_FOUND_H

#include <stdio.h>

/* A line each, as of CliProgram.found. Nothing is begun with: no device is opened, no rank looked for. */
void found_print(FILE *out);
#endif
