/* batch.h: what a model is given for one forward pass. All arrays are host memory owned by the loader, valid until its next call.
 *
 * On a tape that only measures any array may be NULL; counts and terms are always there.
 *
 * Samples are packed one after the other, without padding: segment s holds rows cu[s] … cu[s+1]-1 of the run of T tokens, image
 * placeholders already expanded. The k-th row with id == ID_IMAGE takes row k of the projected features of `pixels`, in order. */
#ifndef GENLLAVA_DATA_LOADER_BATCH_H
#define GENLLAVA_DATA_LOADER_BATCH_H

#include "data/kinds.h"

/* What losses are divided by: how many terms of a kind there are, and the sum of their weights. */
typedef struct Terms {
    int64_t n;
    double weight;
} Terms;
typedef struct LossTerms {
    Terms labels;
} LossTerms;

typedef struct Batch {
    int32_t n_segments, n_tokens, n_images, n_labels;
    int32_t max_segment; /* rows of the longest segment */
    const int32_t *cu;   /* [n_segments+1] */
    const int32_t *id;   /* [n_tokens] 0 … V+R-1, or ID_IMAGE */
    const int32_t *pos;  /* [n_tokens] position in the expanded sample, from 0 */
    const int32_t *item; /* [n_tokens] index of the sample within the optimiser step, over all ranks: keys dropout */
    int32_t image_height, image_width;
    const uint8_t *pixels; /* [n_images, image_height, image_width, 3] RGB after padding and resizing */

    /* Supervised labels: row label_row[i] of the run predicts label[i], with the record's weight. In order of rows. */
    const int32_t *label_row, *label; /* [n_labels] */
    const float *label_weight;        /* [n_labels] */
    const int32_t *label_record;      /* [n_labels] record number over the mixture, rejected rows counted */
    const int32_t *label_position;    /* [n_labels] position of label_row in its expanded sample */
    LossTerms terms;                  /* of this pass */

    const int32_t *record; /* [n_segments] record numbers */
    const uint8_t *task;   /* [n_segments] Task */
    const float *weight;   /* [n_segments] loss weight of the record */
} Batch;
#endif
