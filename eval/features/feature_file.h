/* feature_file.h: writes features into an HDF5 file, a few rows at a time; it appears whole or not at all. Called by run_features.c and
 * network_files.c.
 *
 * Attributes of "/": model, preproc, weights_sha256. Arrays are f32 [n,d]; their rows are named by a list of texts. */
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

/* names_as: "/name" or "/uid"; arrays: "/feat", …, up to FEATURE_ARRAYS_MOST, ended by NULL. */
MUST_USE Status feature_file_create(FeatureFile *f, const char *path, const PictureNet *net, const char *names_as, char *const *names,
                                    int64_t n, const char *const *arrays);
MUST_USE Status feature_file_write(FeatureFile *f, int array, int64_t first, int64_t n, const float *features);
/* Ends it: with OK it appears, else nothing is left. Returns s, or what went wrong now. Not created: returns s. */
MUST_USE Status feature_file_close(FeatureFile *f, Status s);
/* Removes what is begun and not ended, as the process ends; called from a signal handler. */
void feature_file_abandon(void);
#endif
