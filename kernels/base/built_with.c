/* built_with.c: what this program was compiled and linked with (built_with.h). Called by cli.c. The Makefile gives GENLLAVA_LIBRARIES:
 * the packages of tools/libraries.txt, as in "zlib1g-dev=1:1.2.13 libpng-dev=1.6.39". */
#include "kernels/base/built_with.h"

#include <string.h>

#include "kernels/base/cli.h"

#if defined(__clang__)
static const char COMPILER[] = __VERSION__;
#else
static const char COMPILER[] = "gcc " __VERSION__;
#endif

void built_with_print(FILE *out)
{
    fprintf(out, "%-*s %s\n", CLI_VERSION_COLUMNS, "compiler", COMPILER);
    fprintf(out, "%-*s %d\n", CLI_VERSION_COLUMNS, "OpenMP", _OPENMP);
    for (const char *at = GENLLAVA_LIBRARIES; *at;) {
        const int name = (int)strcspn(at, "="), version = (int)strcspn(at + name, " ");
        fprintf(out, "%-*.*s %.*s\n", CLI_VERSION_COLUMNS, name, at, version - 1, at + name + 1);
        at += name + version;
        at += strspn(at, " ");
    }
}
