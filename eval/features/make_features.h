/* make_features.h: what a network makes of pictures or texts, into a file. Called by `evaluate features`, and where pictures themselves are
 * given to what compares features. */
#ifndef GENLLAVA_EVAL_FEATURES_MAKE_FEATURES_H
#define GENLLAVA_EVAL_FEATURES_MAKE_FEATURES_H

#include "eval/features/picture_net.h"

/* One of images, texts and records; records may have images beside them, the folder that their paths begin in. */
typedef struct FeatureRequest {
    const char *model;          /* as picture_net_open takes it */
    const char *images;         /* a folder: its pictures, sorted by name and named without their ending */
    const char *texts, *prefix; /* a file of {"id", "text"} a line; what stands before each text, NULL: nothing */
    const char *records;        /* a file of records, for `curate filter` */
    const char *out;            /* HDF5: /feat and /name; of records /uid, /image0, /image1, /text0, /text1 */
    DeviceChoice device;
    bool openai_crop;
} FeatureRequest;

typedef struct FeaturesMade {
    const char *model; /* "clip", … */
    int64_t n, width;
    int64_t truncated;   /* texts that were cut */
    int64_t passed_over; /* records without features */
} FeaturesMade;

/* r->out appears whole or not at all. */
MUST_USE Status features_make(const FeatureRequest *r, FeaturesMade *made);
#endif
