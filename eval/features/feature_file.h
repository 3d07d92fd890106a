/* feature_file.h: writes features into an HDF5 file, a few rows at a time; it appears whole or not at all. Called by make_features.c and
 * kept_features.c.
 *
 * Attributes of "/": model, preproc, weights_sha256. Arrays are f32 [n,d]; their rows are named by a list of texts, and /source_sha256 says
 * what each was made of. */
#ifndef GENLLAVA_EVAL_FEATURES_FEATURE_FILE_H
#define GENLLAVA_EVAL_FEATURES_FEATURE_FILE_H

#include <limits.h>

#include "data/formats/hdf5.h"
#include "eval/features/picture_net.h"

enum { FEATURE_ARRAYS_MOST = 4 };

typedef struct FeatureFile {
    char path[PATH_MAX], hidden[PATH_MAX];
    HdfFile *hdf;
    int n_arrays;
    HdfRows arrays[FEATURE_ARRAYS_MOST];
} FeatureFile;

/* What makes features. */
typedef struct FeatureMaker {
    const char *model, *preparation; /* borrowed; preparation NULL: it is not said */
    char weights[65];                /* SHA-256 */
    int64_t width;                   /* numbers of a row */
} FeatureMaker;
MUST_USE Status feature_maker(FeatureMaker *out, const PictureNet *net); /* of a network that is open; reads all of its weights */

/* What features are of. */
typedef struct FeatureRows {
    const char *names_as; /* "/name" or "/uid" */
    const char *const *names;
    const char *const *sources; /* SHA-256 of each picture or text; NULL: it is not said */
    int64_t n;
} FeatureRows;

/* arrays: "/feat", …, up to FEATURE_ARRAYS_MOST, ended by NULL. */
MUST_USE Status feature_file_create(FeatureFile *f, const char *path, const FeatureMaker *maker, const FeatureRows *rows,
                                    const char *const *arrays);
MUST_USE Status feature_file_write(FeatureFile *f, int array, int64_t first, int64_t n, const float *features);
/* Ends it: with OK it appears, else nothing is left. Returns s, or what went wrong now. Not created: returns s. */
MUST_USE Status feature_file_close(FeatureFile *f, Status s);
/* Removes what is begun and not ended, as the process ends; called from a signal handler. */
void feature_file_abandon(void);
#endif
