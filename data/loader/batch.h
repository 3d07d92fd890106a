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
    Terms labels, generate, edit; /* supervised labels; target images of rows of these tasks */
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

    /* Target images of generate and edit rows, in order of their runs of visual tokens. The run of target i is rows target_row[i] …
     * target_row[i]+N-1, [IMG0] to [IMG{N-1}], of segment target_segment[i]. */
    int32_t n_targets;
    const int32_t *target_row, *target_segment; /* [n_targets] */
    const float *target_weight;                 /* [n_targets] of the record */
    const char *const *target_prompt; /* [n_targets] UTF-8: sd.prompt, else sd.instruction of an edit row, else the question's text.
                                         NULL unless LoaderOptions.target_prompts */
    /* Pictures of those targets whose loss wants them (LoaderOptions.target_pixels), and of edit rows their first input picture: RGB, 0 …
     * 255, shorter side to S = target_size and the middle of it; scaling to [-1,1] is the VAE's. */
    int32_t target_size, n_target_pictures, n_source_pictures;
    const int32_t *target_picture, *source_picture; /* [n_targets] which of the pictures below; -1: none is loaded */
    const uint8_t *target_pixels, *source_pixels;   /* [n_target_pictures, S, S, 3], [n_source_pictures, S, S, 3] */
    /* Where that is cached (LoaderOptions.cached), what the networks would make of them: moments in place of those pixels, and of targets
     * whose prompts are wanted the text encoder's states. */
    const float *target_moments, *source_moments; /* [n_target_pictures, elements of a result], [n_source_pictures, …] */
    const int32_t *target_state;                  /* [n_targets] which of the states below; -1: none is wanted */
    const float *states;                          /* [those, elements of a result] */

    const int32_t *record;    /* [n_segments] record numbers */
    const uint8_t (*uid)[16]; /* [n_segments] first 16 bytes of the SHA-256 of the record's uid */
    const uint8_t *task;      /* [n_segments] Task */
    const float *weight;      /* [n_segments] loss weight of the record */
} Batch;
#endif
