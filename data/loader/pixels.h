/* pixels.h: pictures of steps, decoded and resized ahead by threads, or when they are asked for.
 *
 * A step asks for its pictures in the order it will need them; the same picture is decoded once a step. What comes out does not depend on
 * the number of threads. */
#ifndef GENLLAVA_DATA_LOADER_PIXELS_H
#define GENLLAVA_DATA_LOADER_PIXELS_H

#include "data/pictures/preprocessor.h"
#include "data/shards/shard.h"

/* Decoded pictures that may wait; what is asked for now is never held back. */
enum { PIXELS_AHEAD_BYTES = 256 << 20 };

typedef struct Pixels Pixels;
/* Who looks at a picture: how it is prepared. */
typedef enum PixelEye { EYE_TOWER, EYE_DIFFUSION, N_EYES } PixelEye;
/* preps: [N_EYES]. workers 0: everything happens in pixels_take. */
MUST_USE Status pixels_open(Pixels **out, const ImagePrep *preps, int workers);
/* How many threads data.workers means; -1: by the number of cores. */
int pixels_workers(int64_t wanted);
void pixels_close(Pixels **p);

/* Which pictures a step needs: one entry a use, in the order they will be taken. */
typedef struct PixelUse {
    const Shard *shard;
    uint32_t image;
    PixelEye eye;
} PixelUse;
/* `ahead`: the step after the present one, started when threads are free; it becomes the present one by the next call without `ahead` for
 * the same step. The uses are not kept. */
MUST_USE Status pixels_want(Pixels *p, int64_t step, const PixelUse *uses, int32_t n, bool ahead);
/* Copies use number i of the present step to dst; waits for it. After its last use a picture's memory is given back. */
MUST_USE Status pixels_take(Pixels *p, int32_t i, uint8_t *dst);
#endif
