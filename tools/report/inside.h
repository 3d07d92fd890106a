/* inside.h: opens what lies in a folder that a stranger filled: a link that leads out of it is not followed, a pipe or device not opened.
 */
#ifndef GENLLAVA_TOOLS_REPORT_INSIDE_H
#define GENLLAVA_TOOLS_REPORT_INSIDE_H

#include <stdbool.h>
#include <sys/stat.h>

typedef struct Inside {
    int fd;        /* stands for the file or folder */
    char path[32]; /* leads to it, whatever becomes of its name */
    struct stat st;
} Inside;
typedef enum InsideFound { INSIDE_FOUND, INSIDE_NONE, INSIDE_REFUSED } InsideFound;
/* kind: S_IFREG or S_IFDIR. REFUSED: it leads out, is of another kind or cannot be read; `why` says which. */
InsideFound inside_open(Inside *f, const char *folder, const char *name, mode_t kind, const char **why);
void inside_close(Inside *f);
#endif
