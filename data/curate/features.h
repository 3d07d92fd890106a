/* features.h: CLIP's features of records (--features FILE.h5), which anybody may have computed, and the similarities that they give. The
 * file has the arrays uid [n] of texts, and image0, image1, text0, text1 [n,d] of f32: of the picture to edit, the target, sd.src_prompt
 * and sd.prompt. Only the uids are kept in memory. Called by gate.c. */
#ifndef GENLLAVA_DATA_CURATE_FEATURES_H
#define GENLLAVA_DATA_CURATE_FEATURES_H

#include <stdbool.h>

#include "data/kinds.h"
#include "kernels/base/status.h"

typedef struct Features Features;

/* In this order they are written. */
typedef enum ClipScore { CLIP_SIM_0, CLIP_SIM_1, CLIP_SIM_DIR, CLIP_SIM_IMAGE, N_CLIP_SCORES } ClipScore;
extern const char *const CLIP_SCORE_NAMES[N_CLIP_SCORES];

MUST_USE Status features_open(Features **out, const char *path);
void features_close(Features **f); /* NULL is fine */
/* Cosines, in double: of target and prompt, and of an edit record also of input and src_prompt, of both pictures, and of what changed in
 * them (image1 - image0, text1 - text0), all from vectors of length one. score[i] stays 0 where the task has none. *found is false when
 * the file has no such uid. A vector of zeros gives NaN. */
MUST_USE Status features_score(Features *f, const char *uid, Task task, double score[N_CLIP_SCORES], bool *found);
bool features_has_score(Task task, ClipScore i);
#endif
