/* hashed.h: weights that are a hash of their names, the same as in tests/oracle/unets.py, so that fixtures hold only what comes out. */
#ifndef GENLLAVA_TESTS_TRAIN_MODELS_HASHED_H
#define GENLLAVA_TESTS_TRAIN_MODELS_HASHED_H

#include "data/formats/safetensors.h"
#include "train/models/model.h"

uint64_t hashed(const char *name, uint64_t i);      /* number i of what is called so */
float hashed_uniform(const char *name, uint64_t i); /* of [-1,1), with 24 bits */

/* A model of which a test opens single parts, on a backend. */
typedef struct HashedModel {
    Backend backend;
    Arena keep, scratch, kernel;
    GenLlava g;
    Tape *tape;
} HashedModel;
void hashed_open(HashedModel *m, Status (*open)(Backend *), DType compute);
void hashed_close(HashedModel *m);
/* A run whose diffusion folder is test_dir(), and what lies there; the last four results stay as they are. */
const RunConfig *hashed_run(void);
char *hashed_path(const char *name);
/* Writes config.json of a part (parts.h) of that folder and reads it; then also declares its weights and takes memory for them. */
Status hashed_configure(HashedModel *m, const char *part, const char *config);
void hashed_declare(HashedModel *m, const char *part, const char *config);

/* What a file calls a weight whose name in the model is `ours`, and whether as a convolution of 1x1. NULL: this file lacks it. */
typedef const char *(*HashedName)(const char *ours, char theirs[256], bool *conv);
/* Writes the weights of a part (NULL: of all) as safetensors, drawn by their names without `prefix`; called by these names, or as `rename`
 * (may be NULL) says. */
void hashed_save(const char *path, const Params *p, const char *part, const char *prefix, HashedName rename);
/* A tensor of a fixture's expected.safetensors as f32, or as i32: its first values, n of them. */
const void *hashed_expected(const SafeTensors *st, const char *name, int64_t n);
/* Checks values against one of the fixture: errors of at most `most` times its largest. */
void hashed_check(const SafeTensors *st, const char *name, const Tensor *found, double most);
#endif
