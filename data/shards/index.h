/* index.h: what must be known of every record to plan a run without reading its tokens. */
#ifndef GENLLAVA_DATA_SHARDS_INDEX_H
#define GENLLAVA_DATA_SHARDS_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef struct IndexRow {
    uint64_t uid;                                      /* first 8 bytes of the hash */
    uint32_t record;                                   /* number over the mixture */
    uint32_t expanded;                                 /* rows once its images are expanded */
    uint32_t labels_text, labels_visual, labels_first; /* supervised tokens: of text, visual ones, those that begin a run of visual ones */
    uint16_t source, images, targets;                  /* images: inputs; targets: runs of visual tokens */
    uint8_t task;
    float weight;
} IndexRow;

/* Which visual tokens are labels, of those that shards mark as trained: those that begin a run, all, none. */
typedef enum VisualLabels { VISUAL_FIRST, VISUAL_ALL, VISUAL_NONE } VisualLabels;
bool index_is_label(int32_t id, uint8_t mask, int32_t first_visual, VisualLabels which);

typedef struct RecordIndex {
    IndexRow *rows; /* in file order */
    int64_t n;
    int64_t n_images; /* distinct pictures */
    int32_t patches;
} RecordIndex;

/* Counts the labels of a sample of n unexpanded tokens. first_visual: id of [IMG0]. */
void index_count_labels(IndexRow *row, const int32_t *id, const uint8_t *mask, int64_t n, int32_t first_visual);
void index_free(RecordIndex *x);
#endif
