/* mistakes.h: mistakes that are said all at once, a line each: those of a file that a person wrote, or all inputs that are missing. */
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
/* Takes a failure of this kind into the list, and is OK; others are passed on. */
MUST_USE Status mistakes_gather(Mistakes *m, Status kind, Status s);
/* OK when there are none, else a failure of that kind with their lines, or ERR_NOMEM. Frees. name: what they are about. */
MUST_USE Status mistakes_end(Mistakes *m, Status kind, const char *name);
#endif
