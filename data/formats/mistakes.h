/* mistakes.h: all mistakes of a file that a person wrote, a line each, said at once: of a run's config and of a mixture. */
#ifndef GENLLAVA_DATA_FORMATS_MISTAKES_H
#define GENLLAVA_DATA_FORMATS_MISTAKES_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/status.h"

typedef struct Mistakes {
    char *lines; /* the first of them */
    size_t length;
    int n;
    bool no_memory;
} Mistakes;

/* "SOURCE:line:column: …"; line 0: "SOURCE: …". */
void mistakes_add(Mistakes *m, const char *source, int line, int column, const char *format, ...) PRINTF_LIKE(5, 6);
void mistakes_add_line(Mistakes *m, const char *line); /* a whole one, or several that were gathered elsewhere */
/* OK when there are none, else ERR_USAGE with their lines, or ERR_NOMEM. Frees. name: of the file. */
MUST_USE Status mistakes_end(Mistakes *m, const char *name);
#endif
