/* replay.h: random numbers of another program instead of one's own (debug.replay), so that a step under a noise loss can be compared with
 * it. A safetensors file with noise/UID, posterior/UID [channels,height,width], timestep/UID and drop/UID [1] for the uid of each row. Of a
 * row with several target images all have the same, or each its own: then every tensor has a first dimension of as many. Called by the
 * noise loss (diffusion.c). */
#ifndef GENLLAVA_TRAIN_MODELS_REPLAY_H
#define GENLLAVA_TRAIN_MODELS_REPLAY_H

#include <stdint.h>

#include "kernels/base/status.h"

typedef struct Replay Replay;
MUST_USE Status replay_open(Replay **out, const char *file);
void replay_close(Replay **r);

/* A target image of a row: the first bytes of the SHA-256 of the row's uid, as Batch has it, its number for messages, and which of the
 * row's targets it is. */
typedef struct ReplayRow {
    const uint8_t *uid; /* [16] */
    int32_t record, target, n_targets;
} ReplayRow;
/* kind/UID as rows [height·width, channels], and as a number from 0 to less than `below`. A row without an entry, or whose entry has
 * another shape, is out of range or not finite, is an error. */
MUST_USE Status replay_image(const Replay *r, const char *kind, ReplayRow row, int64_t channels, int64_t height, int64_t width, float *to);
MUST_USE Status replay_number(const Replay *r, const char *kind, ReplayRow row, double below, double *to);
#endif
