/* pass_arrays.h: the memory of a pass's arrays, reused from pass to pass. Of the loader. */
#ifndef GENLLAVA_DATA_LOADER_PASS_ARRAYS_H
#define GENLLAVA_DATA_LOADER_PASS_ARRAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/loader/worst.h"
#include "kernels/base/status.h"

/* As in Batch, but for capacities. */
typedef struct PassArrays {
    int32_t *cu, *id, *pos, *item, *label_row, *label, *label_record, *label_position, *record;
    int32_t *target_row, *target_segment, *target_picture, *source_picture, *target_state;
    float *label_weight, *weight, *target_weight, *target_moments, *source_moments, *states;
    const char **target_prompt;
    uint8_t *task, (*uid)[16], *pixels, *target_pixels, *source_pixels;
    int64_t tokens, segments, labels, images, targets, target_pictures, source_pictures, n_states; /* capacities */
} PassArrays;
/* Room for all but pictures and results that stand for them. */
MUST_USE Status pass_arrays_room(PassArrays *a, const PassShape *s);
void pass_arrays_free(PassArrays *a);
/* Room for n elements in an array (the address of its pointer); false without memory. */
bool pass_array_grow(void *array, int64_t n, size_t size);
#endif
