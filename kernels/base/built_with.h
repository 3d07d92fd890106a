/* built_with.h: compiler and libraries of this build, for --version. Called by cli.c. */
#ifndef GENLLAVA_KERNELS_BASE_BUILT_WITH_H
#define GENLLAVA_KERNELS_BASE_BUILT_WITH_H

#include <stdio.h>

/* A line each: a name in CLI_VERSION_COLUMNS columns, and its version. */
void built_with_print(FILE *out);
#endif
