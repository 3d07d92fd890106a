/* draw.h: generate --draw and --edit: a picture from a text, or from a text and a picture. */
#ifndef GENLLAVA_EVAL_DRAW_H
#define GENLLAVA_EVAL_DRAW_H

#include "eval/session.h"

/* Whether a picture can be written there ("-": standard output), said before anything is computed: ERR_CREATE. */
MUST_USE Status draw_check_out(const char *out);
/* Makes the folder for `what`, where it is not there: ERR_CREATE. */
MUST_USE Status draw_make_folder(const char *out, const char *what);
/* images: n_images paths, of which the first is edited; none with TASK_GENERATE. grid: as in Picture. Tells the file on standard output. */
MUST_USE Status draw_once(const Session *s, Task task, const char *text, const char *const *images, int n_images, int64_t grid,
                          const char *out);
#endif
