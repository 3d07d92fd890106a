/* sizes.h: what the model folders of a config say about sizes; genllava_sizes reads it. */
#ifndef GENLLAVA_TRAIN_CONFIG_SIZES_H
#define GENLLAVA_TRAIN_CONFIG_SIZES_H

#include <stdint.h>

typedef struct ModelSizes {
    int32_t vocab_size, added_rows; /* V, R */
    int32_t hidden, layers;
    int64_t positions;        /* that the language model was trained for; 0: its config.json does not tell */
    int32_t queries, context; /* rows of the generation head's context of a picture, and their width; 0 without a head */
    int64_t moments;          /* elements that describe the latents of a target picture; 0 where nothing reads them */
    int32_t image_height, image_width, patch, patches; /* of the vision tower; 0 without one */
} ModelSizes;
#endif
